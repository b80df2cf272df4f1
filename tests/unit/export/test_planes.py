"""Planes to verify and to calibrate with: the checkpoint's own if they are as they were, or named ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_export.planes import Amount, CleanPlanes, Images, given, of_checkpoint
from baikal_export.trained import TrainedModel
from baikal_training.data import Shares, open_clean, split
from tests.clean import soft_plane, write_clean
from tests.models import tiny_checkpoint

FEW = Amount(3, 24)


def trained_on(*paths: Path, channel: int | None = None) -> TrainedModel:
    """A model that names these volumes, in halves to train on and to validate with."""
    volumes = open_clean(paths, Normalisation(), channel).volumes
    parts = split(volumes, Shares.parse("50:50:0")).as_dict()
    return replace(TrainedModel.of_checkpoint(tiny_checkpoint()), volumes=parts)


def file_of(trained: TrainedModel, index: int = 0) -> Path:
    """Of a validation volume, in the order in which they are taken."""
    return Path(
        sorted(trained.volumes["validation"], key=lambda volume: volume["fingerprint"])[index]["name"]
    )


def pixels(found: CleanPlanes) -> list[bytes]:
    return [plane.tobytes() for plane in found.planes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_clean(tmp_path / "clean", 8)


def test_checkpoint_has_its_volumes(folder: Path) -> None:
    trained = trained_on(folder)
    count = len(trained.volumes["validation"])
    assert (
        of_checkpoint("validation", trained, Amount(1, 24)).source
        == f"1 of the model's {count} validation volumes"
    )
    validation, training = (
        of_checkpoint(part, trained, Amount(8, 64)) for part in ("validation", "training")
    )
    assert not set(pixels(validation)) & set(pixels(training))
    for part, found in (("validation", validation), ("training", training)):
        volumes = open_clean([Path(v["name"]) for v in trained.volumes[part]], Normalisation()).volumes
        whole = {volume.read(0, slice(0, 64), slice(0, 64)).tobytes() for volume in volumes}
        assert set(pixels(found)) == whole


def test_planes_are_windows_on_the_grid_and_the_same_each_time(folder: Path) -> None:
    trained = replace(trained_on(folder), downsampling=16)
    found = of_checkpoint("validation", trained, FEW)
    assert [plane.shape for plane in found.planes] == [(16, 16)] * 3
    assert len(set(pixels(found))) == 3
    assert pixels(of_checkpoint("validation", trained, FEW)) == pixels(found)
    assert all(plane.dtype == np.float32 and plane.std() > 0.1 for plane in found.planes)


def test_volumes_that_moved_or_changed_are_not_taken(folder: Path) -> None:
    trained = trained_on(folder)
    count = len(trained.volumes["validation"])
    file_of(trained, 0).unlink()
    Image.fromarray(soft_plane(77)).save(file_of(trained, 1))
    found = of_checkpoint("validation", trained, Amount(20, 64))
    assert found.source == f"{count - 2} of the model's {count} validation volumes"
    for index in range(2, count):
        file_of(trained, index).write_bytes(b"no image any more")
    found = of_checkpoint("validation", trained, FEW)
    assert (found.planes, found.source) == (
        (),
        f"none of the model's {count} validation volumes is where and as it was",
    )
    assert of_checkpoint("training", trained, FEW).planes


def test_volumes_inside_files_are_found_by_series_and_channel(tmp_path: Path) -> None:
    path = tmp_path / "a, b.tif"
    with tifffile.TiffWriter(path) as file:
        for first in (0, 20):
            stack = np.stack([soft_plane(first + z) for z in range(4)]).reshape(2, 2, 64, 64)
            file.write(stack, metadata={"axes": "ZCYX"})
    trained = trained_on(path, channel=1)
    names = sorted(volume["name"] for volumes in trained.volumes.values() for volume in volumes)
    assert names == [f"{path}, series {series}, channel 1" for series in (0, 1)]
    for part, volumes in trained.volumes.items():
        series = [int(volume["name"].split("series ")[1][0]) for volume in volumes]
        planes = {soft_plane(20 * one + 2 * z + 1).tobytes() for one in series for z in range(2)}
        if part != "test":
            found = of_checkpoint(part, trained, Amount(6, 64))
            volume = open_clean([path], Normalisation(), 1).volumes[series[0]]
            raw = {volume.intensity.denormalise(plane, np.uint8).tobytes() for plane in found.planes}
            assert raw == planes


def test_a_model_without_volumes_has_no_planes() -> None:
    found = of_checkpoint("training", TrainedModel.of_checkpoint(tiny_checkpoint()), FEW)
    assert (found.planes, found.source) == ((), "the model names no training volumes")


def test_named_images_are_taken_and_no_path_is_told(folder: Path) -> None:
    trained = TrainedModel.of_checkpoint(tiny_checkpoint())
    found = given([folder], None, trained, FEW)
    assert found.source == "3 of 8 volumes that were named"
    assert len(set(pixels(found))) == 3
    assert given([folder / "0.png"], None, trained, Amount(2, 16)).source == "1 of 1 volumes that were named"


def test_bad_images_are_told(folder: Path, tmp_path: Path) -> None:
    trained = TrainedModel.of_checkpoint(tiny_checkpoint())
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    for path, match in (
        (tmp_path / "gone", "no such file or folder"),
        (tmp_path / "empty", "no images in it"),
        (tmp_path / "notes.txt", "is not an image that can be read"),
    ):
        with pytest.raises(VolumeError, match=match):
            given([path], None, trained, FEW)
    with pytest.raises(
        VolumeError, match=r"every plane is smaller than the 128 x 128 pixels that the network"
    ):
        given([folder], None, replace(trained, downsampling=128), FEW)


def test_noise_is_that_of_the_timestep_and_another_for_each_plane() -> None:
    clean = CleanPlanes((np.full((128, 128), 0.5, np.float32), np.zeros((64, 64), np.float32)), "")
    schedule = tiny_checkpoint().schedule.build()
    found = list(clean.noised(schedule, [0, 300, 999], seed=4))
    assert [(x_t.shape, t) for x_t, t in found] == [
        ((1, 1, 128, 128), 0.0),
        ((1, 1, 64, 64), 300.0),
        ((1, 1, 128, 128), 999.0),
    ]
    for (x_t, t), level in zip(found, (0.5, 0.0, 0.5), strict=True):
        signal = schedule.alphas_cumprod[int(t)]
        assert x_t.dtype == np.float32
        assert abs(x_t.mean() - np.sqrt(signal) * level) < 0.05
        assert x_t.std() == pytest.approx(np.sqrt(1 - signal), rel=0.05)
    assert abs(np.corrcoef(found[0][0].ravel(), found[2][0].ravel())[0, 1]) < 0.05


def test_a_reduced_precision_needs_planes_and_says_which(folder: Path) -> None:
    bare = TrainedModel.of_checkpoint(tiny_checkpoint())
    clean, calibration = Images((), (), None).planes("fp32", bare)
    assert (clean.planes, calibration.planes) == ((), ())
    for precision, images, options in (
        ("fp16", Images((), (), None), "--verify"),
        ("int8", Images((), (), None), "--verify and --calibrate"),
        ("int8", Images((folder,), (), None), "--calibrate"),
        ("int8", Images((), (folder,), None), "--verify"),
    ):
        with pytest.raises(
            ConfigError, match=f"--precision {precision}: .*; name clean images with {options}$"
        ):
            images.planes(precision, bare)
    clean, calibration = Images((folder,), (folder,), None).planes("int8", bare)
    assert (len(clean.planes), len(calibration.planes)) == (8, 64)
    assert Images((), (), None).planes("fp16", trained_on(folder))[0].planes


def test_options_that_would_do_nothing_are_refused(folder: Path) -> None:
    bare = TrainedModel.of_checkpoint(tiny_checkpoint())
    with pytest.raises(ConfigError, match="--calibrate: --precision fp16 takes no calibration"):
        Images((folder,), (folder,), None).planes("fp16", bare)
    with pytest.raises(ConfigError, match="--channel 1: of which images"):
        Images((), (), "1").planes("fp32", bare)


def test_channel_is_a_number_or_a_name(tmp_path: Path) -> None:
    stack = np.stack([soft_plane(0), soft_plane(1)])
    names = {"axes": "CYX", "Channel": {"Name": ["DNA", "actin"]}}
    tifffile.imwrite(tmp_path / "two.ome.tif", stack, metadata=names)
    bare = TrainedModel.of_checkpoint(tiny_checkpoint())
    named, numbered, other = (
        pixels(Images((tmp_path / "two.ome.tif",), (), channel).planes("fp32", bare)[0])
        for channel in ("actin", "1", "0")
    )
    assert named == numbered != other
