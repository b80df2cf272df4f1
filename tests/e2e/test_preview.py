"""--preview: projections before and after, and what has changed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from baikal_deploy import Run, RunConfig
from baikal_deploy.cli._report_files import Looks
from baikal_deploy.errors import VolumeError
from baikal_deploy.report.grey import LESS, MORE, RANGE, contrast, diverging, grey
from baikal_deploy.report.panels import HEADER, MARGIN
from baikal_deploy.report.projection import project, stack, thinned
from baikal_deploy.volumes.open import open_input
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import level0

FACTOR = 3
"""By which the small planes of these tests are enlarged."""


def panels(path: Path, row: int, shape: tuple[int, int]) -> list[np.ndarray]:
    """The three pictures of a row, at their own size, in colour."""
    height, width = (FACTOR * side for side in shape)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    top = row * (HEADER + height) + HEADER
    lefts = [MARGIN + number * (width + MARGIN) for number in range(3)]
    return [pixels[top : top + height : FACTOR, left : left + width : FACTOR] for left in lefts]


def test_projections_before_and_after_and_what_has_changed(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray
) -> None:
    result = baikal_run(noisy_zarr, "--preview", tmp_path / "look.png")
    assert result.stdout.splitlines()[-1] == str(tmp_path / "look.png")
    denoised = level0(tmp_path / "noisy_denoised.ome.zarr")
    before, after, change = panels(tmp_path / "look.png", 0, (96, 80))
    low, high = np.percentile(denoised.max(axis=0), RANGE)
    for panel, volume in ((before, counts), (after, denoised)):
        expected = 255 * np.clip((volume.max(axis=0) - low) / (high - low), 0, 1)
        assert np.abs(panel - expected[..., None]).max() <= 1
    mean = denoised.mean(axis=0) - counts.mean(axis=0)
    redder = change[..., 0].astype(int) - change[..., 2]
    assert (np.sign(redder) == np.sign(mean))[np.abs(mean) > 2].all()


def test_a_row_for_each_channel_of_the_first_timepoint(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    first = np.stack([counts * (channel + 1) for channel in range(6)])
    pixels = np.stack([first, first[:, :, ::-1]])
    path = write_zarr(tmp_path / "in.zarr", pixels, dimension_names=["t", "c", "z", "y", "x"])
    assert baikal_run(path, tmp_path / "out.zarr", "--preview", tmp_path / "look.png").exit_code == 0
    with Image.open(tmp_path / "look.png") as picture:
        assert picture.height == MARGIN + 4 * (HEADER + FACTOR * 96), "no more than four"
    denoised = level0(tmp_path / "out.zarr")
    for channel in range(4):
        before, after, _ = panels(tmp_path / "look.png", channel, (96, 80))
        shown = contrast(denoised[0, channel].max(axis=0))
        assert np.array_equal(before[..., 0], grey(first[channel].max(axis=0), shown))
        assert np.array_equal(after[..., 0], grey(denoised[0, channel].max(axis=0), shown))


def test_one_plane_from_tiff_to_tiff(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "in.tif", counts[0])
    result = baikal_run(tmp_path / "in.tif", tmp_path / "out.tif", "--preview", tmp_path / "look.png")
    assert result.exit_code == 0, result.output
    denoised = tifffile.imread(tmp_path / "out.tif")
    before, after, change = panels(tmp_path / "look.png", 0, (96, 80))
    shown = contrast(denoised)
    assert np.array_equal(before[..., 0], grey(counts[0], shown))
    assert np.array_equal(after[..., 0], grey(denoised, shown))
    difference = denoised.astype(float) - counts[0]
    assert np.array_equal(change, diverging(difference, float(np.percentile(np.abs(difference), 99.8))))


def test_the_previews_of_a_folder(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        write_zarr(tmp_path / "in" / f"{name}.zarr", counts)
    result = baikal_run(tmp_path / "in", tmp_path / "out", "--preview", tmp_path / "looks")
    assert result.exit_code == 0, result.output
    found = sorted(tmp_path.joinpath("looks").iterdir())
    assert [path.name for path in found] == ["a_denoised.png", "b_denoised.png"]
    assert set(map(str, found)) < set(result.stdout.split())


def test_a_preview_that_cannot_be_written_takes_nothing_back(tmp_path: Path, noisy_zarr: Path) -> None:
    with Run(RunConfig(noisy_zarr, tmp_path / "out.zarr", engine="analytic")) as run:
        done = run.execute()
        (tmp_path / "look.png").mkdir()
        with pytest.raises(
            VolumeError, match=r"look.png: the preview cannot be written .* output is complete"
        ):
            list(Looks(tmp_path / "look.png", None).write(run, done))


def test_a_preview_where_a_folder_is(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    (tmp_path / "look.png").mkdir()
    result = baikal_run(noisy_zarr, tmp_path / "out.zarr", "--preview", tmp_path / "look.png")
    assert result.exit_code == 2
    assert result.stderr == f"error: --preview {tmp_path / 'look.png'}: is a folder; name a file\n"
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("block", [4, 7, 100])
def test_planes_are_thinned_in_parts(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch, step: int, block: int
) -> None:
    monkeypatch.setattr("baikal_deploy.volumes.selection.BLOCK", block)
    volume = open_input(write_zarr(tmp_path / "in.zarr", counts[:, :37, :23], chunks=(1, 5, 3)))
    assert np.array_equal(thinned(volume, 1, step), counts[1, :37:step, :23:step])


def test_the_planes_of_a_deep_stack_are_evenly_spaced(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "in.zarr", np.zeros((2, 1000, 2, 2), np.uint8), dimension_names=list("czyx"))
    planes = stack(open_input(path).info, 1)
    assert len(planes) == 250
    assert (planes[0], planes[-1]) == (1000, 1996)


def test_large_planes_are_never_held(tmp_path: Path) -> None:
    side = 12_000
    path = tmp_path / "in.zarr"
    zarr.create_array(path, shape=(2, side, side), chunks=(1, 1000, 1000), dtype=np.uint16)
    volume = open_input(path)
    tracemalloc.start()
    found = project(volume, volume, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.before.shape == (1000, 1000)
    assert found.step == 12
    assert peak < 0.5 * 2 * side**2, "less than half a plane"


def test_what_is_not_finite(tmp_path: Path) -> None:
    before = np.full((3, 4, 5), np.nan, np.float32)
    before[:, 1:] = 1
    before[0, 2, 2], before[0, 2, 3] = np.inf, -np.inf
    after = before + 1
    volumes = [
        open_input(write_zarr(tmp_path / f"{name}.zarr", pixels))
        for name, pixels in (("a", before), ("b", after))
    ]
    found = project(volumes[0], volumes[1], 0)
    assert np.isnan(found.before[0]).all()
    assert found.before[2, 3] == 1
    assert np.isfinite(found.difference).all()
    assert found.limit == 1
    shown = grey(found.before, contrast(found.after))
    assert (shown[0] == 0).all()


def test_colours_of_a_difference() -> None:
    colours = diverging(np.array([[-9.0, -2, 0, 2, np.nan]]), 2)
    assert colours.tolist() == [[list(LESS), list(LESS), [255] * 3, list(MORE), [255] * 3]]
