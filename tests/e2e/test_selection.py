"""baikal-run on a part of a volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.volumes.open import open_input
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import group_attributes, level0


@pytest.fixture
def series(tmp_path: Path, counts: np.ndarray) -> Path:
    """Two time points and two channels of ``counts``, each a little brighter."""
    pixels = np.stack([np.stack([counts + 400 * t + 900 * c for c in range(2)]) for t in range(2)])
    return write_zarr(tmp_path / "series.zarr", pixels.astype(np.uint16), dimension_names=list("tczyx"))


def test_a_part_keeps_its_place_and_is_measured_by_itself(
    tmp_path: Path, baikal_run: BaikalRun, series: Path
) -> None:
    result = baikal_run(series, tmp_path / "out.ome.zarr", "--t", "1", "--z", "1:3", "--roi", "8:,16:80:2")
    assert result.exit_code == 0, result.output
    assert "tczyx 1x2x2x88x32 of 2x2x3x96x80" in result.stderr
    written = open_input(tmp_path / "out.ome.zarr").info
    assert written.shape == (1, 2, 2, 88, 32)
    assert written.translation == (1, 0, 1, 8, 16)
    assert written.scale == (1, 1, 1, 1, 2)
    part = zarr.open_array(series, mode="r")[1:2, :, 1:3, 8:, 16:80:2]
    write_zarr(tmp_path / "part.zarr", np.asarray(part), dimension_names=list("tczyx"))
    assert baikal_run(tmp_path / "part.zarr", tmp_path / "same.zarr").exit_code == 0
    assert np.array_equal(level0(tmp_path / "out.ome.zarr"), level0(tmp_path / "same.zarr"))
    made, same = (group_attributes(tmp_path / name)["baikal"] for name in ("out.ome.zarr", "same.zarr"))
    assert made["channels"] == same["channels"]
    assert made["selection"] == {"t": [1, 2, 1], "z": [1, 3, 1], "y": [8, 96, 1], "x": [16, 80, 2]}
    assert same["selection"] == {}


def test_the_noise_of_a_part_is_that_of_the_whole(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path
) -> None:
    """Each pixel of the analytic engine's result depends on itself and its noise alone, once the intensities
    are the same: they are, if all planes are."""
    plane = np.tile(zarr.open_array(noisy_zarr, mode="r")[0], (3, 1, 2))
    path = write_zarr(tmp_path / "tiled.zarr", plane)
    options = ("--sampler", "mixing", "--seed", 3, "--share-noise", "none")
    assert baikal_run(path, tmp_path / "whole.zarr", *options).exit_code == 0
    assert baikal_run(path, tmp_path / "part.zarr", *options, "--z", "2", "--roi", ":,80:160").exit_code == 0
    whole, part = (
        group_attributes(tmp_path / name)["baikal"]["channels"] for name in ("whole.zarr", "part.zarr")
    )
    scale = part[0]["measurement"]["intensity"]["high"] - part[0]["measurement"]["intensity"]["low"]
    assert whole[0]["measurement"]["sigma"] == pytest.approx(part[0]["measurement"]["sigma"], rel=0.02)
    difference = level0(tmp_path / "part.zarr")[0] - level0(tmp_path / "whole.zarr")[2, :, 80:].astype(float)
    assert np.abs(difference).max() < 0.05 * scale  # other noise would make it several times that
    assert baikal_run(path, tmp_path / "other.zarr", *options, "--z", "1", "--roi", ":,80:160").exit_code == 0
    other = level0(tmp_path / "other.zarr")[0] - level0(tmp_path / "whole.zarr")[2, :, 80:].astype(float)
    assert np.abs(other).max() > 0.1 * scale


def test_another_part_does_not_go_on_with_an_unfinished_run(
    tmp_path: Path, baikal_run: BaikalRun, series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("baikal_deploy.volumes.zarr.writer.OutputVolume.finish", None)
        config = RunConfig(series, tmp_path / "out.zarr", engine="analytic", z=slice(0, 2))
        with Run(config) as run, pytest.raises(TypeError):
            run.execute()
    refused = baikal_run(series, tmp_path / "out.zarr", "--z", "1:")
    assert refused.exit_code == 2
    assert "selection z [0, 2, 1] is now [1, 3, 1]" in refused.stderr
    assert baikal_run(series, tmp_path / "out.zarr", "--z", ":-1").exit_code == 0


def test_a_guide_of_the_whole_volume_is_cut_alike(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray
) -> None:
    guide = counts.copy()
    guide[:, :48] = counts.max()
    write_zarr(tmp_path / "guide.zarr", guide)
    write_zarr(tmp_path / "cut.zarr", guide[1:, 40:])
    write_zarr(tmp_path / "part.zarr", counts[1:, 40:])
    options = ("--sampler", "mixing", "-o", "w_start=1", "-o", "w_end=1", "-o", "stop_scale=0")
    part = ("--z", "1:", "--roi", "40:,:", "--guide", tmp_path / "guide.zarr")
    assert baikal_run(noisy_zarr, tmp_path / "a.zarr", *options, *part).exit_code == 0
    cut = ("--guide", tmp_path / "cut.zarr")
    assert baikal_run(tmp_path / "part.zarr", tmp_path / "b.zarr", *options, *cut).exit_code == 0
    means = [level0(tmp_path / f"{name}.zarr")[:, :8].mean() for name in "ab"]
    assert means[0] == pytest.approx(means[1], rel=0.02)
    assert means[0] > 1.2 * counts[1:, 40:48].mean()


def test_a_tiff_says_where_a_part_begins(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    for name, more in (("first", ("--z", ":2")), ("last", ("--z", "2", "--roi", "8:,16:"))):
        assert baikal_run(noisy_zarr, tmp_path / f"{name}.tif", *more).exit_code == 0
    assert "PositionX" not in str(tifffile.tiffcomment(tmp_path / "first.tif"))
    plane = tifffile.xml2dict(str(tifffile.tiffcomment(tmp_path / "last.tif")))["OME"]["Image"]["Pixels"][
        "Plane"
    ]
    assert (plane["PositionZ"], plane["PositionY"], plane["PositionX"]) == (2, 8, 16)
