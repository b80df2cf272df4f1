"""--follow with the other options: a store that grows gives what a run on the whole of it gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.errors import VolumeError
from baikal_deploy.run.follow import Follow
from baikal_deploy.volumes.layout import Layout
from tests.e2e.conftest import BaikalRun, write_zarr

AXES = "tczyx"
BEFORE, AFTER = 8, 10
"""Steps that are there when the run is planned, of which it needs 8 planes; and in the end."""
SAME = {"engine": "analytic", "normalise": "per-timepoint"}
"""With which it makes no difference that a run does not know the end."""
MAPS = ("uncertainty", "mask")


def pixels(*shape: int) -> np.ndarray:
    """Noisy, uint16."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    clean = 300 + 200 * np.sin(y / 9) * np.cos(x / 7)
    brighter = 1 + np.arange(shape[0]).reshape(-1, *(1 for _ in shape[1:])) / 10
    return rng.poisson(clean * brighter * np.ones(shape)).astype(np.uint16)


def write_image(path: Path, data: np.ndarray) -> Path:
    """An OME-Zarr image with scales, translations and names of channels."""
    steps = [
        {"type": "scale", "scale": [3.0, 1.0, 2.0, 0.5, 0.5]},
        {"type": "translation", "translation": [0.0, 0.0, 7.0, 10.0, 20.0]},
    ]
    kinds = {"t": "time", "c": "channel"}
    block = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": name, "type": kinds.get(name, "space")} for name in AXES],
                "datasets": [{"path": "0", "coordinateTransformations": steps}],
            }
        ],
        "omero": {"channels": [{"label": "nuclei"}, {"label": "membranes"}]},
    }
    zarr.create_group(path, attributes={"ome": block})
    write_zarr(path / "0", data, chunks=(1, 1, 1, *data.shape[-2:]), dimension_names=list(AXES))
    return path


def append(array: Path, more: np.ndarray) -> None:
    zarr.open_array(array).append(more)


def follow_and_run(array: Path, more: np.ndarray, source: Path, folder: Path, **options: Any) -> list[Any]:
    """Follow an image whose array grows once the output is begun, and run on it; both reports."""

    def own(name: str) -> RunConfig:
        maps = {key: folder / f"{name}_{key}.zarr" for key in MAPS if key in options}
        return RunConfig(source, folder / f"{name}.zarr", **SAME | options | maps)

    growth = iter([more])

    def progress(done: int, total: int) -> None:
        assert done <= total
        for rest in growth:
            append(array, rest)
            run.plan.input.watched.timeout = 0.2

    with Follow(own("followed"), 1000) as run:
        assert run.written.shape[0] == BEFORE
        reports = [run.execute(progress)]
    with Run(own("whole")) as whole:
        return [*reports, whole.execute()]


def without_windows(ome: Any) -> Any:
    """An image's metadata but for display ranges, which are those of the beginning where it was followed."""
    channels = [{**channel, "window": None} for channel in ome["omero"]["channels"]]
    return {**ome, "omero": {**ome["omero"], "channels": channels}}


def check_same(folder: Path, name: str = "") -> Any:
    """The group that was written when the store was followed."""
    followed, whole = (
        zarr.open_group(folder / f"{kind}{name}.zarr", mode="r") for kind in ("followed", "whole")
    )
    assert without_windows(followed.attrs["ome"]) == without_windows(whole.attrs["ome"])
    assert sorted(followed) == sorted(whole)
    for level in whole:
        np.testing.assert_array_equal(followed[level][...], whole[level][...])
    assert followed["0"].shape[0] == AFTER
    return followed


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": ("membranes",)},
        {"channels": (0,), "other_channels": "drop"},
        {"z": slice(1, None)},
        {"roi": (slice(8, 40), slice(4, 44, 2))},
        {"dtype": "float32"},
        {"uncertainty": True, "mask": True},
        {"sampler": "posterior", "share_noise": "tz"},
    ],
    ids=lambda options: "-".join(options) or "none",
)
def test_options(tmp_path: Path, options: dict[str, Any]) -> None:
    data = pixels(AFTER, 2, 3, 64, 48)
    path = write_image(tmp_path / "in.zarr", data[:BEFORE])
    follow_and_run(path / "0", data[BEFORE:], path, tmp_path, **options)
    written = check_same(tmp_path)
    assert np.ptp(written["0"][...]) > 100
    for name in set(options) & set(MAPS):
        assert check_same(tmp_path, f"_{name}")["0"][...].any() or name == "mask"


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if memory were so small that nothing larger than a region of 256 x 256 fits."""
    monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_: [Layout(1, 256)])


@pytest.mark.parametrize("names", ["tyx", pytest.param("tzyx", marks=pytest.mark.slow)])  # 20 s
def test_planes_that_are_cut_into_regions(tmp_path: Path, names: str, cut: None) -> None:
    data = pixels(AFTER, *(2 for _ in names[3:]), 300, 280)
    chunks = (*(1 for _ in names[2:]), 300, 280)
    path = write_zarr(tmp_path / "in.zarr", data[:BEFORE], chunks=chunks, dimension_names=list(names))
    follow_and_run(path, data[BEFORE:], path, tmp_path)
    check_same(tmp_path)


@pytest.mark.parametrize("on_error", ["keep-raw", "zero"])
def test_planes_that_cannot_be_read(tmp_path: Path, on_error: str) -> None:
    data = pixels(AFTER, 2, 3, 64, 48)
    path = write_image(tmp_path / "in.zarr", data[:BEFORE])
    for chunk in ("c/0/0/0/0/0", "c/3/1/1/0/0"):
        (path / "0" / chunk).write_bytes(b"no chunk")
    with pytest.raises(VolumeError, match=r"cannot be read.*--on-error"):
        Follow(RunConfig(path, **SAME), 1)
    reports = follow_and_run(path / "0", data[BEFORE:], path, tmp_path, on_error=on_error)
    check_same(tmp_path)
    assert [report.tally for report in reports] == [reports[1].tally] * 2
    assert len(reports[0].tally.kept_raw + reports[0].tally.zeroed) == 2


def several(path: Path, data: np.ndarray) -> Path:
    """A store with two images."""
    zarr.create_group(path, attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for number in range(2):
        write_image(path / str(number), data + number)
    return path


def test_one_of_several_images(tmp_path: Path) -> None:
    data = pixels(AFTER, 2, 3, 64, 48)
    path = several(tmp_path / "in.zarr", data[:BEFORE])
    follow_and_run(path / "1" / "0", data[BEFORE:] + 1, path, tmp_path, series=1)
    check_same(tmp_path)


@pytest.fixture
def at_once() -> Iterator[None]:
    """What is refused is so before anything is waited for."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 20


def test_several_images_are_refused(tmp_path: Path, at_once: None) -> None:
    path = several(tmp_path / "in.zarr", pixels(BEFORE, 2, 3, 64, 48))
    with pytest.raises(VolumeError, match=r"holds 2 images .* choose one with --series"):
        Follow(RunConfig(path, **SAME), 1000)


def test_a_plate_is_refused(tmp_path: Path, at_once: None) -> None:
    wells = {"plate": {"wells": [{"path": "A/1"}]}}
    zarr.create_group(tmp_path / "in.zarr", attributes={"ome": {"version": "0.5", **wells}})
    with pytest.raises(VolumeError, match="is a plate"):
        Follow(RunConfig(tmp_path / "in.zarr", **SAME), 1000)


def test_pictures_and_a_dry_run(tmp_path: Path, baikal_run: BaikalRun) -> None:
    path = write_image(tmp_path / "in.zarr", pixels(BEFORE, 2, 3, 64, 48))
    looks = ["--preview", tmp_path / "look.png", "--report", tmp_path / "look.html"]
    words = [path, "--follow", "--follow-timeout", 0.5, *looks]
    planned = baikal_run(*words, "--dry-run")
    assert (planned.exit_code, "nothing was written" in planned.stderr) == (0, True), planned.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.zarr"]
    done = baikal_run(*words)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "look.png").exists()
    assert "measured on the first" in (tmp_path / "look.html").read_text()
    refused = baikal_run(path, "--follow", "--preview", tmp_path / "look.txt")
    assert "must end in .png" in refused.stderr
