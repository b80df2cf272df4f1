"""Planes that cannot be read or denoised, by --on-error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.open import open_input
from tests.e2e.conftest import BaikalRun, write_zarr

BAD = 1


@pytest.fixture(params=["chunks", "shards"])
def damaged(request: pytest.FixtureRequest, tmp_path: Path, counts: np.ndarray) -> Path:
    """(3, 96, 80), of whose plane 1 the chunk at the bottom left cannot be decoded."""
    options = {"chunks": (1, 48, 80)} | ({"shards": (1, 96, 80)} if request.param == "shards" else {})
    path = write_zarr(tmp_path / "in.zarr", counts, **options)
    if request.param == "chunks":
        (path / "c" / str(BAD) / "1" / "0").write_bytes(b"rubbish")
        return path
    shard = path / "c" / str(BAD) / "0" / "0"
    content = bytearray(shard.read_bytes())
    index = np.frombuffer(content[-4 - 2 * 16 : -4], "<u8").reshape(2, 2)
    start, size = (int(value) for value in index[1])
    content[start : start + size] = bytes(size)
    shard.write_bytes(content)
    return path


def result(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path / "0", mode="r")[...])


def provenance(path: Path) -> dict[str, Any]:
    return dict(zarr.open_group(path, mode="r").attrs)["baikal"]  # type: ignore[arg-type,return-value]


def test_a_run_ends_at_a_damaged_plane_unless_told_otherwise(
    tmp_path: Path, damaged: Path, baikal_run: BaikalRun
) -> None:
    done = baikal_run(damaged, tmp_path / "out.zarr")
    assert done.exit_code == 2
    assert "plane 1 (z=1)" in done.stderr


@pytest.mark.parametrize(("choice", "how"), [("keep-raw", "kept_raw"), ("zero", "zeroed")])
def test_what_is_written_in_place_of_a_damaged_plane(
    tmp_path: Path, damaged: Path, counts: np.ndarray, baikal_run: BaikalRun, choice: str, how: str
) -> None:
    maps = ["--uncertainty", tmp_path / "std.zarr", "--mask", tmp_path / "mask.zarr"]
    done = baikal_run(damaged, tmp_path / "out.zarr", "--on-error", choice, *maps)
    assert done.exit_code == 0, done.output
    assert "note: planes (or regions of them) that could not be read or denoised" in done.output
    found = result(tmp_path / "out.zarr")
    assert (found[BAD, :48] == (counts[BAD, :48] if choice == "keep-raw" else 0)).all()
    assert not found[BAD, 48:].any()
    others = [0, 2]
    assert found[others].all(axis=(1, 2)).all()
    assert (found[others] != counts[others]).any(axis=(1, 2)).all()
    std = result(tmp_path / "std.zarr")
    assert not std[BAD].any()
    assert std[others].any(axis=(1, 2)).all()
    assert provenance(tmp_path / "out.zarr")[how] == [BAD]


def test_other_planes_are_what_they_would_have_been(
    tmp_path: Path, damaged: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the measurement of the undamaged volume; the noise of the others is drawn by their own numbers."""
    options: dict[str, Any] = {"engine": "analytic", "sampler": "repaint"}
    whole = write_zarr(tmp_path / "whole.zarr", counts)
    with Run(RunConfig(whole, tmp_path / "a.zarr", **options)) as run:
        measurement = run.recipes.first(0).measurement
        run.execute()
    monkeypatch.setattr("baikal_deploy.denoising.denoiser.Denoiser.measure", lambda *_: measurement)
    with Run(RunConfig(damaged, tmp_path / "b.zarr", on_error="keep-raw", **options)) as run:
        run.execute()
    others = [0, 2]
    np.testing.assert_array_equal(result(tmp_path / "b.zarr")[others], result(tmp_path / "a.zarr")[others])


def test_a_run_that_ended_goes_on_with_another_choice_and_keeps_count(
    tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zarr(
        tmp_path / "in.zarr", counts[:, None], chunks=(1, 1, 48, 80), dimension_names=["c", "z", "y", "x"]
    )
    out = tmp_path / "out.zarr"
    with Run(RunConfig(path, out, engine="analytic")) as run:
        (path / "c" / "1" / "0" / "1" / "0").write_bytes(b"rubbish")
        with pytest.raises(VolumeError, match="c=1 z=0"):
            run.execute()
    (path / "c" / "2" / "0" / "1" / "0").write_bytes(b"rubbish")
    with Run(RunConfig(path, out, engine="analytic", on_error="keep-raw")) as run:
        assert [item.index for item in run.items if item.index in run.earlier.done] == [0]  # type: ignore[union-attr]
        monkeypatch.setattr("baikal_deploy.run.resume.session.Session.finish", _stop)
        with pytest.raises(InterruptedError):
            run.execute()
    monkeypatch.undo()
    done = baikal_run(path, out)
    assert done.exit_code == 0, done.output
    assert provenance(out)["kept_raw"] == [1, 2]


def _stop(*_: Any) -> None:
    raise InterruptedError


def test_a_tiff_with_a_damaged_strip(tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun) -> None:
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, counts, compression="zlib", metadata={"axes": "ZYX"}, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        page = file.pages[BAD]
        at, size = page.dataoffsets[0], page.databytecounts[0]  # type: ignore[union-attr]
    with path.open("r+b") as raw:
        raw.seek(at)
        raw.write(bytes(size))
    assert baikal_run(path, tmp_path / "stop.zarr").exit_code == 2
    done = baikal_run(path, tmp_path / "out.zarr", "--on-error", "keep-raw")
    assert done.exit_code == 0, done.output
    found = result(tmp_path / "out.zarr")
    assert not found[BAD].any()
    assert found[0].all()


def test_a_network_that_fails_at_one_plane(
    tmp_path: Path,
    noisy_zarr: Path,
    counts: np.ndarray,
    baikal_run: BaikalRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predict = Analytic._predict

    def failing(self: Analytic, x_t: Any, t: float) -> Any:
        eps, v = predict(self, x_t, t)
        return np.where(np.all(x_t[:1, :, :1, :1] == bad), np.nan, eps).astype(np.float32), v

    bad = np.float32(-9)
    monkeypatch.setattr(Analytic, "_predict", failing)
    with Run(RunConfig(noisy_zarr, tmp_path / "out.zarr", engine="analytic", sampler="matched",
                       options={"noise": "uniform"}, on_error="keep-raw")) as run:  # fmt: skip
        recipe = run.recipes.first(0)
        y = recipe.prepare(counts[BAD : BAD + 1])[0][0, 0, 0, 0]
        bad = np.float32(y * (1 / np.sqrt(1 + recipe.level**2)))
        told: list[tuple[int, int]] = []
        report = run.execute(lambda *counts: told.append(counts))
    assert report.tally.kept_raw == (BAD,)
    assert told[-1] == (3, 3)
    assert report.evaluations == 3
    found = result(tmp_path / "out.zarr")
    np.testing.assert_array_equal(found[BAD], counts[BAD])
    assert (found[0] != counts[0]).any()


def test_a_region_is_given_up_alone(
    tmp_path: Path, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = write_zarr(tmp_path / "in.zarr", np.tile(counts, (1, 8, 1)), chunks=(1, 48, 80))
    (damaged / "c" / str(BAD) / "15" / "0").write_bytes(b"rubbish")
    monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_: [Layout(1, 32)])
    config = RunConfig(
        damaged, tmp_path / "out.zarr", engine="analytic", tile=16, overlap=0, on_error="zero",
        sampler="matched", options={"noise": "uniform"},
    )  # fmt: skip
    with Run(config) as run:
        run.execute()
    found = result(tmp_path / "out.zarr")
    assert not found[BAD, 704:].any()
    assert found[BAD, :448].all()  # what is wrong with pixels is told by what is around them, too
    assert found[0].all()


def test_a_choice_that_is_none(noisy_zarr: Path) -> None:
    with pytest.raises(ConfigError, match="stop, keep-raw, zero"):
        RunConfig(noisy_zarr, on_error="ignore")  # type: ignore[arg-type]


def test_nothing_readable_is_an_error(tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun) -> None:
    path = write_zarr(tmp_path / "in.zarr", counts[:1], chunks=(1, 96, 80))
    (path / "c" / "0" / "0" / "0").write_bytes(b"rubbish")
    done = baikal_run(path, "--on-error", "zero")
    assert done.exit_code == 2
    assert "of the 1 places to measure intensities at none can be read" in done.stderr
    assert open_input(path).info.chunk == (1, 96, 80)


@pytest.mark.parametrize("step", [1, 2])
def test_of_a_part_of_a_plane_too_only_the_chunk_is_lost(
    tmp_path: Path, damaged: Path, counts: np.ndarray, baikal_run: BaikalRun, step: int
) -> None:
    roi = f"40:90:{step},10:70"
    done = baikal_run(damaged, tmp_path / "out.zarr", "--on-error", "keep-raw", "--roi", roi)
    assert done.exit_code == 0, done.output
    expected = counts[BAD, 40:90:step, 10:70].copy()
    expected[8 // step :] = 0
    np.testing.assert_array_equal(result(tmp_path / "out.zarr")[BAD], expected)


def test_pictures_and_pages_are_made_of_what_can_be_read(
    tmp_path: Path, damaged: Path, baikal_run: BaikalRun
) -> None:
    looks = ["--preview", tmp_path / "look.png", "--report", tmp_path / "look.html"]
    done = baikal_run(damaged, tmp_path / "out.zarr", "--on-error", "keep-raw", "--roi", "8:,:", *looks)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-2:] == [str(tmp_path / "look.png"), str(tmp_path / "look.html")]


@pytest.mark.parametrize("bad", [0, 1])
def test_a_time_point_of_which_nothing_can_be_read_is_not_measured(
    tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun, bad: int
) -> None:
    path = write_zarr(tmp_path / "in.zarr", counts, chunks=(1, 96, 80), dimension_names=["t", "y", "x"])
    (path / "c" / str(bad) / "0" / "0").write_bytes(b"rubbish")
    options = ["--on-error", "zero", "--normalise", "per-timepoint"]
    done = baikal_run(path, tmp_path / "out.zarr", *options)
    assert done.exit_code == 0, done.output
    assert result(tmp_path / "out.zarr").any(axis=(1, 2)).tolist() == [t != bad for t in range(3)]
    (channel,) = provenance(tmp_path / "out.zarr")["channels"]
    assert [found["t"] for found in channel["time points"]] == [t for t in range(3) if t != bad]
    assert baikal_run(path, tmp_path / "other.zarr", "--normalise", "per-timepoint").exit_code == 2
