"""--fuse --again: planes that are denoised once more, averaged with those beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.again import Again
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.volumes.cleanup import Mark
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.hand_cluster import said, start_run
from tests.e2e.test_fuse import LAYOUTS, followed, fused, movie, movie_zarr, pixels, stacks, written

__all__ = ["movie", "movie_zarr", "stacks"]  # fixtures


ONCE = {"budget": "preview"}
"""One evaluation a plane."""


def again(source: Path, output: Path, **options: Any) -> np.ndarray:
    return fused(source, output, **{"again": True, "options": ONCE} | options)


def run_of(source: Path, output: Path, **options: Any) -> RunConfig:
    return RunConfig(
        source, output, engine="analytic", options=ONCE, **{"fuse": "t", "again": True} | options
    )


def test_more_is_found_and_its_deviation_is_told(tmp_path: Path, movie_zarr: Path) -> None:
    truth = Camera().expected(np.repeat(simulate_nuclei((2, 96, 80), seed=5)[None], 6, axis=0))
    before = fused(movie_zarr, tmp_path / "fused.zarr", dtype="float32", options=ONCE)
    std = tmp_path / "std.zarr"
    with Run(run_of(movie_zarr, tmp_path / "again.zarr", dtype="float32", uncertainty=std)) as run:
        assert (run.evaluations, run.evaluations_again) == (12, 12 * 9)
        assert run.execute().evaluations == 12 * (1 + 9)
    found = pixels(tmp_path / "again.zarr")
    errors = [np.mean((one - truth) ** 2) for one in (before, found)]
    assert errors[1] < 0.8 * errors[0]
    assert np.mean(pixels(std) ** 2) == pytest.approx(errors[1], rel=0.4)
    assert sorted(os.listdir(tmp_path)) == ["again.zarr", "fused.zarr", "in.zarr", "std.zarr"]
    mark = Mark.at(tmp_path / "again.zarr")
    assert mark is not None
    assert mark.provenance["denoised again"] is True


def test_regions_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a result that exists, with an area that was never filled, which stays as it is."""
    counts = Camera().expose(np.repeat(simulate_nuclei((1, 40, 264), seed=5), 3, axis=0), seed=5)
    counts[1, 20:, 240:260] = 0
    source = write_zarr(tmp_path / "in.zarr", counts, chunks=(1, 40, 264), dimension_names=["t", "y", "x"])
    fused(source, tmp_path / "plain.zarr", fuse=None, dtype="float32", options=ONCE)
    for name in ("planes", "regions"):
        monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_, own=LAYOUTS[name]: [own])
        found = again(source, tmp_path / f"{name}.zarr", results=tmp_path / "plain.zarr")
        np.testing.assert_array_equal(found, pixels(tmp_path / "planes.zarr"))
    assert (found[1, 20:, 240:260] == 0).all()


@pytest.mark.slow
def test_the_cut_makes_no_difference(tmp_path: Path, stacks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, layout in LAYOUTS.items():
        monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_, own=layout: [own])
        maps = {kind: tmp_path / f"{kind} {name}.zarr" for kind in ("uncertainty", "mask")}
        found = again(stacks, tmp_path / f"{name}.zarr", fuse="tz", **maps)
        np.testing.assert_array_equal(found, pixels(tmp_path / "planes.zarr"))
        for kind in ("uncertainty", "mask"):
            np.testing.assert_array_equal(
                pixels(tmp_path / f"{kind} {name}.zarr"), pixels(tmp_path / f"{kind} planes.zarr")
            )


@pytest.mark.slow
def test_processes_of_this_machine_write_the_same_pixels(tmp_path: Path, movie_zarr: Path) -> None:
    whole = again(movie_zarr, tmp_path / "whole.zarr")
    words = ["--fuse", "t", "--again", "--budget", "preview", "--engine", "analytic", "--dask", "local:2"]
    run = start_run(tmp_path, "in.zarr", "out.zarr", *words)
    text = said(run)
    assert run.returncode == 0, text
    np.testing.assert_array_equal(pixels(tmp_path / "out.zarr"), whole)


def test_a_run_that_was_stopped_goes_on(
    tmp_path: Path, movie_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its second half, with the same pixels, and no more evaluations than are left."""
    whole = again(movie_zarr, tmp_path / "whole.zarr")
    config = run_of(movie_zarr, tmp_path / "out.zarr")
    original, calls = Again.denoised, []

    def stopping(own: Again, *more: Any, **options: Any) -> Any:
        calls.append(more)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return original(own, *more, **options)

    with monkeypatch.context() as patch, Run(config) as run:
        patch.setattr(Again, "denoised", stopping)
        with pytest.raises(KeyboardInterrupt):
            run.execute()
    with Run(config) as run:
        assert run.execute().evaluations < 12
    np.testing.assert_array_equal(pixels(tmp_path / "out.zarr"), whole)
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.zarr", "whole.zarr"]


def test_what_was_denoised_is_not_denoised_once_more_for_it(tmp_path: Path, movie_zarr: Path) -> None:
    """The first half is that of a run without --again."""
    expected = again(movie_zarr, tmp_path / "whole.zarr")
    config = run_of(movie_zarr, tmp_path / "out.zarr", again=False)
    with Run(config) as run, pytest.MonkeyPatch.context() as patch:
        patch.setattr("baikal_deploy.run.fused.Fusing.denoise", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.execute()
    with Run(run_of(movie_zarr, tmp_path / "out.zarr", overwrite=True)) as run:
        assert run.execute().evaluations == 12
    np.testing.assert_array_equal(pixels(tmp_path / "out.zarr"), expected)


def _interrupted(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_planes_that_neighbours_tell_nothing_of_stay_as_they_are(
    tmp_path: Path, movie_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.run.gates.measure_gate", lambda *_: Gate.closed("t"))
    plain = fused(movie_zarr, tmp_path / "plain.zarr", fuse=None, options=ONCE)
    with Run(run_of(movie_zarr, tmp_path / "out.zarr")) as run:
        assert run.execute().evaluations == 12
    np.testing.assert_allclose(pixels(tmp_path / "out.zarr").astype(int), plain, atol=1)


def test_a_run_that_follows(tmp_path: Path, movie: np.ndarray) -> None:
    source = written(tmp_path / "in.zarr", movie)
    truth = Camera().expected(np.repeat(simulate_nuclei((2, 96, 80), seed=5)[:1], 6, axis=0))
    errors = []
    for name, once_more in (("fused", False), ("again", True)):
        followed(source, tmp_path / f"{name}.zarr", dtype="float32", again=once_more, options=ONCE)
        errors.append(np.mean((pixels(tmp_path / f"{name}.zarr")[2:, 0] - truth[2:]) ** 2))
    assert errors[1] < 0.85 * errors[0]


def test_the_plan_counts_the_passes(tmp_path: Path, movie_zarr: Path, baikal_run: BaikalRun) -> None:
    words = ["--fuse", "t", "--again", "--dry-run", "--budget", "preview"]
    result = baikal_run(movie_zarr, tmp_path / "out.zarr", *words)
    assert result.exit_code == 0, result.output
    assert "denoised again: 1 more pass a plane" in " ".join(result.output.split())


def test_it_needs_axes() -> None:
    with pytest.raises(ConfigError, match="--again"):
        RunConfig(Path("in.zarr"), again=True)
