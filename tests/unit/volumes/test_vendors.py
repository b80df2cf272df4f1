"""CZI, ND2 and NDTiff: of the formats' own writers, or of real microscopes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.extras import install
from baikal_deploy.volumes.open import files_of, open_input
from baikal_deploy.volumes.vendors import czi
from tests.unit.volumes.test_tiff import assert_holds, axes_of, counts, refused, scales_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:bioio_.*")


def write_czi(path: Path, scenes: int = 1, without: tuple[int, ...] = (), **metadata: Any) -> Path:
    """A CZI with axes t, c, z of 2, 2 and 3, without one plane; scene n holds ``counts`` + n."""
    pyczi = pytest.importorskip("pylibCZIrw.czi")
    with pyczi.create_czi(str(path)) as file:
        for scene in range(scenes):
            for t, c, z in (place for place in np.ndindex(2, 2, 3) if place != without):
                plane = counts(2, 2, 3, 20, 30)[t, c, z] + scene
                place = {"location": (40 * scene, 0), "scene": scene} if scenes > 1 else {}
                file.write(plane.astype("u2"), plane={"T": t, "C": c, "Z": z}, **place)
        if metadata:
            file.write_metadata("a document", **metadata)
    return path


SIZES = {"scale_x": 0.2e-6, "scale_y": 0.25e-6, "scale_z": 1.5e-6}


def test_czi(tmp_path: Path) -> None:
    path = write_czi(tmp_path / "größe 1.czi", channel_names={0: "DAPI", 1: "GFP"}, **SIZES)
    volume = open_input(path)
    assert axes_of(volume) == "tczyx"
    assert_holds(volume, counts(2, 2, 3, 20, 30))
    found = scales_of(volume)
    assert (found["t"], found["c"]) == ((1, None), (1, None))
    for axis, size in (("z", 1.5), ("y", 0.25), ("x", 0.2)):
        assert found[axis] == (pytest.approx(size), "micrometer")
    assert [volume.info.channel_name(channel) for channel in range(2)] == ["DAPI", "GFP"]
    assert files_of(volume) == {path}


def test_czi_that_says_nothing_of_itself(tmp_path: Path) -> None:
    volume = open_input(write_czi(tmp_path / "a.CZI"))
    assert set(scales_of(volume).values()) == {(1, None)}
    assert volume.info.channel_name(0) == "channel 0"


def test_scenes_are_series(shared_data: Path) -> None:
    path = shared_data / "formats" / "czi" / "xyz__multiple_images.czi"
    if not path.exists():
        pytest.skip(f"the sample file is not here: {path}")
    first, second = (open_input(path, scene).read([0]) for scene in range(2))
    assert first.shape == second.shape
    assert (first != second).any()
    text = refused(path, r"holds 2 series \(0: scene 0, 1: scene 1\)")
    assert "choose one with --series N" in text
    refused(path, "there is no series 2", 2)


def test_scenes_are_those_of_the_pixels(tmp_path: Path) -> None:
    """Metadata may list fewer, or none."""
    path = write_czi(tmp_path / "a.czi", scenes=2)
    refused(path, r"holds 2 series \(0: scene 0, 1: scene 1\)")
    for scene in range(2):
        volume = open_input(path, scene)
        assert_holds(volume, counts(2, 2, 3, 20, 30) + scene)
        assert (volume.read_window(7, slice(3, 9), slice(20, None)) == volume.read([7])[0, 3:9, 20:]).all()


def test_planes_of_czi_that_were_not_recorded(tmp_path: Path) -> None:
    """A recording that was stopped: Zeiss's library reads black there."""
    volume = open_input(write_czi(tmp_path / "a.czi", without=(1, 1, 2)))
    assert volume.info.shape == (2, 2, 3, 20, 30)
    assert volume.read([10]).any()
    with pytest.raises(VolumeError, match=r"a\.czi: has no plane at t=1 c=1 z=2"):
        volume.read([11])


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"location": (30, 0)}, "tiles of a mosaic"),
        ({"location": (5, 0), "plane": {"C": 1}}, "do not lie at one place"),
        ({"plane": {"C": 1}, "data": np.zeros((20, 30, 3), np.uint8)}, "is a colour image"),
        (
            {"plane": {"C": 1}, "data": np.zeros((20, 30), np.float32)},
            "types Gray16, Gray32Float; supported is one",
        ),
    ],
)
def test_czi_that_is_no_grid_of_planes(tmp_path: Path, second: Mapping[str, Any], reason: str) -> None:
    pyczi = pytest.importorskip("pylibCZIrw.czi")
    plane = np.ones((20, 30), np.uint16)
    with pyczi.create_czi(str(tmp_path / "a.czi")) as file:
        file.write(plane, plane={"C": 0})
        file.write(**{"data": plane, "plane": {"C": 0}, **second})
        file.write_metadata("a document")
    refused(tmp_path / "a.czi", reason)


def test_phases_of_czi_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [czi.Block({"C": 0, "H": phase}, (0, 0, 30, 20), "Gray16") for phase in range(3)]
    monkeypatch.setattr(czi, "_directory", lambda _: blocks)
    refused(write_czi(tmp_path / "a.czi"), "axis H of size 3 is not supported")


@pytest.mark.parametrize("part", [0.0001, 0.3, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, shared_data: Path, part: float) -> None:
    nd2 = shared_data / "formats" / "nd2" / "example-timelapse.nd2"
    for source in (write_czi(tmp_path / "whole.czi"), *([nd2] if nd2.exists() else [])):
        data = source.read_bytes()
        cut = tmp_path / f"cut{source.suffix}"
        cut.write_bytes(data[: int(part * len(data))])
        refused(cut, "truncated")


def test_nd2(shared_data: Path) -> None:
    path = shared_data / "formats" / "nd2" / "example-multichannel.nd2"
    if not path.exists():
        pytest.skip(f"the sample file is not here: {path}")
    nd2 = pytest.importorskip("nd2")
    volume = open_input(path)
    assert axes_of(volume) == "cyx"
    assert_holds(volume, nd2.imread(path))
    assert scales_of(volume)["x"] == (pytest.approx(0.32339, rel=1e-4), "micrometer")
    names = [volume.info.channel_name(channel) for channel in range(4)]
    assert names == ["Mono", "DAPI", "FITC BP", "TRITC BP"]


def write_ndtiff(
    folder: Path, order: str = "tcz", summary: Mapping[str, Any] | None = None, **fixed: Any
) -> Path:
    """An NDTiff data set with axes t, c, z of 2, 2 and 3."""
    ndstorage = pytest.importorskip("ndstorage")
    summary = {"PixelSize_um": 0.5, "z-step_um": 2, "Interval_ms": 1500} if summary is None else summary
    data = ndstorage.NDTiffDataset(str(folder), name="data", writable=True)
    data.initialize(dict(summary))
    names = ("DAPI", "GFP")
    for t, c, z in np.ndindex(2, 2, 3):
        place = {"time": t, "channel": names[c], "z": z, **fixed}
        plane = counts(2, 2, 3, 20, 30)[t, c, z]
        data.put_image(place, plane, json.dumps({"Axes": place}).encode())
    data.current_writer.reader.close()  # nobody else does
    data.finish()
    data.close()
    return next(folder.iterdir())


def test_ndtiff(tmp_path: Path) -> None:
    path = write_ndtiff(tmp_path / "größe 1")
    volume = open_input(path)
    assert axes_of(volume) == "tczyx"
    assert_holds(volume, counts(2, 2, 3, 20, 30))
    assert scales_of(volume) == {
        "t": (1.5, "second"), "c": (1, None), "z": (2, "micrometer"), "y": (0.5, "micrometer"),
        "x": (0.5, "micrometer"),
    }  # fmt: skip
    assert [volume.info.channel_name(channel) for channel in range(2)] == ["DAPI", "GFP"]
    assert files_of(volume) == set(path.iterdir())
    refused(path / "data_NDTiffStack.tif", "is a part of an NDTiff data set; give the data set's folder")


def test_ndtiff_that_was_cut_off(tmp_path: Path) -> None:
    path = write_ndtiff(tmp_path / "a")
    stack = path / "data_NDTiffStack.tif"
    whole = stack.read_bytes()
    stack.write_bytes(whole[: len(whole) - 1500])
    refused(path, "truncated or damaged")
    stack.write_bytes(whole)
    index = path / "NDTiff.index"
    entry = len(index.read_bytes()) // 12
    index.write_bytes(index.read_bytes()[:-entry])
    refused(path, "has no image at time=1 channel=GFP z=2")


def test_positions_of_ndtiff_are_series(shared_data: Path) -> None:
    path = shared_data / "formats" / "ndtiff" / "v3" / "labeled_positions_1"
    if not path.exists():
        pytest.skip(f"the sample files are not here: {path}")
    refused(path, r"holds 3 series \(0: position=Pos0, 1: position=Pos1, 2: position=Pos2\)")
    volume = open_input(path, 1)
    assert (axes_of(volume), volume.info.shape, volume.info.name) == ("yx", (512, 512), "position=Pos1")
    assert volume.info.channel_name(0) == "DAPI"


def test_ndtiff_of_version_2(shared_data: Path) -> None:
    """An older layout, whose channels are numbers."""
    path = shared_data / "formats" / "ndtiff" / "v2" / "ndtiffv2.0_test"
    if not path.exists():
        pytest.skip(f"the sample files are not here: {path}")
    volume = open_input(path)
    assert (axes_of(volume), volume.info.shape) == ("tcyx", (5, 2, 32, 32))
    assert [volume.info.channel_name(channel) for channel in range(2)] == ["DAPI", "FITC"]
    assert volume.read([9]).std() > 1


@pytest.mark.parametrize(
    ("name", "module", "package", "extra"),
    [
        ("a.czi", "pylibCZIrw.czi", "pylibCZIrw", "bioio"),
        ("a.nd2", "bioio_nd2", "bioio-nd2", "bioio"),
        ("a", "ndstorage", "ndstorage", "ndtiff"),
    ],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / name
    if path.suffix:
        path.write_bytes(b"ZISRAWFILE")
    else:
        path.mkdir()
        (path / "NDTiff.index").write_bytes(b"")
    refused(path, f"{package}: {re.escape(install(extra))}")


def test_colours_of_nd2(shared_data: Path) -> None:
    path = shared_data / "formats" / "nd2" / "example-multichannel.nd2"
    if not path.exists():
        pytest.skip(f"the sample file is not here: {path}")
    assert colors_of(path) == ["FFFFFF", "0033FF", "07FF00", "FFBF00"]


def colors_of(path: Path) -> list[str | None]:
    return [channel.get("color") for channel in (open_input(path).info.omero or {})["channels"]]


def test_colours_of_czi(tmp_path: Path) -> None:
    pyczi = pytest.importorskip("pylibCZIrw.czi")
    blue = pyczi.ChannelDisplaySettingsDataClass(
        True, pyczi.TintingMode.Color, pyczi.Rgb8Color(0x12, 0x34, 0xFF), 0.0, 1.0
    )
    names = {0: "DAPI", 1: "GFP"}
    path = write_czi(tmp_path / "a.czi", channel_names=names, display_settings={0: blue}, **SIZES)
    assert colors_of(path) == ["1234FF", None]
