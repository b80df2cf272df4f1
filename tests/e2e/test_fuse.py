"""--fuse: results averaged with those of the planes beside them, whatever the run is cut into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.cli._log.plan import describe_gate
from baikal_deploy.errors import ConfigError
from baikal_deploy.run import planner
from baikal_deploy.run.follow import Follow
from baikal_deploy.run.fused import Fusing
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.layout import Layout
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.e2e import killed
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.hand_cluster import said, start_run
from tests.e2e.test_collection import make_plate
from tests.valid import assert_valid

FRAMES = 6


@pytest.fixture(scope="session")
def movie() -> np.ndarray:
    """Two channels of a scene that stays, seen in 6 frames: (6, 2, 96, 80) uint16."""
    scene = np.repeat(simulate_nuclei((2, 96, 80), seed=5)[None], FRAMES, axis=0)
    return Camera().expose(scene, seed=5)


@pytest.fixture
def movie_zarr(tmp_path: Path, movie: np.ndarray) -> Path:
    return written(tmp_path / "in.zarr", movie)


def written(path: Path, movie: np.ndarray) -> Path:
    return write_zarr(path, movie, chunks=(1, 1, 96, 80), dimension_names=["t", "c", "y", "x"])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path / "0", mode="r"))


def fused(source: Path, output: Path, **options: Any) -> np.ndarray:
    config = RunConfig(source, output, engine="analytic", **{"fuse": "t"} | options)
    with Run(config) as run:
        run.execute()
    return pixels(output)


def test_frames_of_a_scene_that_stays_are_averaged(tmp_path: Path, movie_zarr: Path) -> None:
    plain = fused(movie_zarr, tmp_path / "plain.zarr", fuse=None, dtype="float32")
    found = fused(movie_zarr, tmp_path / "fused.zarr", dtype="float32")
    assert found.shape == plain.shape
    for channel in range(2):
        flicker, before = (np.diff(one[:, channel], axis=0).std() for one in (found, plain))
        assert flicker < 0.5 * before
    assert sorted(os.listdir(tmp_path)) == ["fused.zarr", "in.zarr", "plain.zarr"]


def test_the_output_says_how_it_was_fused(tmp_path: Path, movie_zarr: Path) -> None:
    fused(movie_zarr, tmp_path / "out.zarr")
    mark = Mark.at(tmp_path / "out.zarr")
    assert mark is not None
    assert mark.provenance["fuse"] == "t"
    gate = mark.provenance["channels"][0]["measurement"]["gate"]
    assert gate["allowed"]["t"] > 0
    assert 0 < gate["gains"][0] <= gate["gains"][1]


def test_a_frame_that_shows_something_else_is_left_alone(tmp_path: Path, movie: np.ndarray) -> None:
    """A flash is not seen in the frame before it, and hardly any of it is lost."""
    flash, inside = movie.copy(), np.s_[:, 25:65, 20:60]
    flash[3, :, 20:70, 15:65] += 2000
    source = written(tmp_path / "in.zarr", flash)
    plain = fused(source, tmp_path / "plain.zarr", fuse=None, dtype="float32").astype(float)
    found = fused(source, tmp_path / "fused.zarr", dtype="float32").astype(float)
    height = (plain[3] - plain[2])[inside].mean()
    assert abs((found[2] - plain[2])[inside].mean()) < 0.01 * height
    assert abs((found[3] - plain[3])[inside].mean()) < 0.05 * height


def test_nothing_is_taken_from_beyond_a_closed_shutter(tmp_path: Path, movie: np.ndarray) -> None:
    """The frames on its two sides are those of two movies."""
    source = movie.copy()
    source[2] = 7
    whole = written(tmp_path / "in.zarr", source)
    found = fused(whole, tmp_path / "out.zarr")
    assert (found[2] == 7).all()
    source[3:] = source[3:][..., ::-1]
    with Run(RunConfig(whole, tmp_path / "again.zarr", engine="analytic", fuse="t")) as run:
        zarr.open_array(whole, mode="r+")[...] = source  # what was measured stays
        run.execute()
    np.testing.assert_array_equal(pixels(tmp_path / "again.zarr")[:2], found[:2])


def test_what_is_no_result_is_as_without_fusion(tmp_path: Path, movie: np.ndarray) -> None:
    """NaN pixels, areas that were never filled, channels that are copied, frames that hold one value."""
    source = movie.astype(np.float32)
    source[1, 0, :40, :40] = 0
    source[2, 0, 60:64, 10:20] = np.nan
    source[4, 0] = 3
    whole = written(tmp_path / "in.zarr", source)
    options = {"channels": [0]}
    plain = fused(whole, tmp_path / "plain.zarr", fuse=None, **options)
    found = fused(whole, tmp_path / "fused.zarr", **options)
    for kept in (np.s_[1, 0, :40, :40], np.s_[2, 0, 60:64, 10:20], np.s_[4, 0], np.s_[:, 1]):
        np.testing.assert_array_equal(plain[kept], source[kept])
        np.testing.assert_array_equal(found[kept], source[kept])
    assert np.isfinite(found).sum() == np.isfinite(plain).sum()
    counts = [Mark.at(tmp_path / f"{name}.zarr").provenance["counts"] for name in ("plain", "fused")]  # type: ignore[union-attr]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("on_error", ["keep-raw", "zero"])
def test_damaged_frames_are_as_without_fusion(tmp_path: Path, movie_zarr: Path, on_error: str) -> None:
    (movie_zarr / "c" / "2" / "0" / "0" / "0").write_bytes(b"damaged")
    plain = fused(movie_zarr, tmp_path / "plain.zarr", fuse=None, on_error=on_error)
    found = fused(movie_zarr, tmp_path / "fused.zarr", on_error=on_error)
    np.testing.assert_array_equal(found[2, 0], plain[2, 0])
    assert (found[1, 0] != plain[1, 0]).any()
    provenance = [Mark.at(tmp_path / f"{name}.zarr").provenance for name in ("plain", "fused")]  # type: ignore[union-attr]
    assert provenance[0]["notes"] == provenance[1]["notes"]


def test_neighbours_are_of_one_channel_and_one_position(tmp_path: Path, movie: np.ndarray) -> None:
    """What happens in one channel, or in another plane of the stack, changes nothing in this one."""
    source = np.stack([movie, movie[::-1]], axis=2)[:4]  # (4, 2, 2, 96, 80)
    paths = []
    for name in ("first", "second"):
        names = ["t", "c", "z", "y", "x"]
        paths.append(
            write_zarr(tmp_path / f"{name}.zarr", source, chunks=(1, 1, 1, 96, 80), dimension_names=names)
        )
        source = source.copy()
        source[:, 1] = source[:, 1, ..., ::-1]
        source[:, 0, 1] = source[:, 0, 1]
    first, second = (fused(path, path.with_name(f"out_{path.name}")) for path in paths)
    np.testing.assert_array_equal(first[:, 0], second[:, 0])
    assert (first[:, 1] != second[:, 1]).any()


LAYOUTS = {"planes": Layout(1), "along t": Layout(3, axis=0), "regions": Layout(1, 256)}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four stacks of two planes, one of which was never filled in an area: (4, 2, 264, 280) uint16."""
    scene = np.repeat(simulate_nuclei((2, 264, 280), seed=5)[None], 4, axis=0)
    counts = Camera().expose(scene, seed=5)
    counts[1, 1, 220:260, 200:270] = 0
    path = tmp_path_factory.mktemp("stacks") / "in.zarr"
    return write_zarr(path, counts, chunks=(1, 1, 264, 280), dimension_names=["t", "z", "y", "x"])


@pytest.mark.slow
def test_the_cut_makes_no_difference(tmp_path: Path, stacks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items, regions, and what is fused with what lies in other ones."""
    for name, layout in LAYOUTS.items():
        monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_, own=layout: [own])
        mask = tmp_path / f"mask {name}.zarr"
        found = fused(stacks, tmp_path / f"{name}.zarr", fuse="tz", mask=mask)
        np.testing.assert_array_equal(found, pixels(tmp_path / "planes.zarr"))
        np.testing.assert_array_equal(pixels(mask), pixels(tmp_path / "mask planes.zarr"))


@pytest.mark.slow
def test_processes_of_this_machine_write_the_same_pixels(tmp_path: Path, movie_zarr: Path) -> None:
    whole = fused(movie_zarr, tmp_path / "whole.zarr")
    run = start_run(
        tmp_path, "in.zarr", "out.zarr", "--fuse", "t", "--engine", "analytic", "--dask", "local:2"
    )
    text = said(run)
    assert run.returncode == 0, text
    assert "fused with 2 frames on either side" in text
    np.testing.assert_array_equal(pixels(tmp_path / "out.zarr"), whole)
    assert not (tmp_path / "out.zarr.unfused.zarr").exists()


def test_the_input_is_not_taken_for_results_in_between(
    tmp_path: Path, movie: np.ndarray, baikal_run: BaikalRun
) -> None:
    source = written(tmp_path / "out.zarr.unfused.zarr", movie)
    result = baikal_run(source, tmp_path / "out.zarr", "--fuse", "t", "--overwrite")
    assert result.exit_code == 2, result.output
    assert (np.asarray(zarr.open_array(source, mode="r")) == movie).all()


def test_a_run_that_was_stopped_while_it_fused_denoises_nothing_again(
    tmp_path: Path, movie_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fused(movie_zarr, tmp_path / "whole.zarr")
    config = RunConfig(movie_zarr, tmp_path / "out.zarr", engine="analytic", fuse="t")
    original, calls = Fusing.denoise, []

    def stopping(work: Fusing, *more: Any) -> Any:
        calls.append(more)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(work, *more)

    with monkeypatch.context() as patch, Run(config) as run:
        patch.setattr(Fusing, "denoise", stopping)
        with pytest.raises(KeyboardInterrupt):
            run.execute()
    assert (tmp_path / "out.zarr.unfused.zarr").exists()
    with Run(config) as run:
        assert run.evaluations_done == run.evaluations == run.evaluations_kept
        assert run.execute().evaluations == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out.zarr"), whole)
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.zarr", "whole.zarr"]
    with Run(config) as run:
        assert run.finished


def test_a_folder_of_movies_leaves_nothing_but_results(
    tmp_path: Path, movie: np.ndarray, baikal_run: BaikalRun
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        written(tmp_path / "in" / f"{name}.zarr", movie)
    result = baikal_run(tmp_path / "in", tmp_path / "out", "--fuse", "t")
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(tmp_path / "out")) == ["a_denoised.ome.zarr", "b_denoised.ome.zarr"]
    assert sorted(os.listdir(tmp_path / "in")) == ["a.zarr", "b.zarr"]


def test_a_plate_of_stacks_becomes_a_plate(tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun) -> None:
    plate = make_plate(tmp_path / "plate.zarr", counts)
    result = baikal_run(plate, tmp_path / "out.zarr", "--fuse", "z")
    assert result.exit_code == 0, result.output
    assert "3 of 3 images denoised, 0 failed" in result.stderr
    assert "along z" in result.stderr or "on either side" in result.stderr
    assert_valid(tmp_path / "out.zarr")
    assert sorted(os.listdir(tmp_path / "out.zarr" / "A" / "1")) == ["0", "1", "zarr.json"]


def test_the_page_shows_a_row_along_time(tmp_path: Path, movie_zarr: Path, baikal_run: BaikalRun) -> None:
    page = tmp_path / "page.html"
    result = baikal_run(movie_zarr, tmp_path / "out.zarr", "--fuse", "t", "--report", page)
    assert result.exit_code == 0, result.output
    assert page.read_text(encoding="utf-8").count(" along t</h3>") + page.read_text().count(" along t <") == 2


def test_an_ome_tiff_is_fused_like_a_zarr(tmp_path: Path, movie_zarr: Path) -> None:
    whole = fused(movie_zarr, tmp_path / "whole.zarr")
    with Run(RunConfig(movie_zarr, tmp_path / "out.ome.tif", engine="analytic", fuse="t")) as run:
        run.execute()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.ome.tif"), whole)


def test_time_points_that_are_measured_each_by_itself(tmp_path: Path, movie: np.ndarray) -> None:
    """A lamp that flickers: frames are compared on the scale of each."""
    flickering = (movie * np.linspace(1, 2, FRAMES)[:, None, None, None]).astype(np.uint16)
    source = written(tmp_path / "in.zarr", flickering)
    found = fused(source, tmp_path / "out.zarr", normalise="per-timepoint", dtype="float32")
    plain = fused(source, tmp_path / "plain.zarr", normalise="per-timepoint", dtype="float32", fuse=None)
    np.testing.assert_allclose(found.mean((1, 2, 3)), plain.mean((1, 2, 3)), rtol=0.02)
    assert (found != plain).mean() > 0.5


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_moment_changes_nothing(tmp_path: Path, movie_zarr: Path) -> None:
    words = [str(movie_zarr), str(tmp_path / "out" / "result.zarr"), "--fuse", "t", "--engine", "analytic"]
    command = [sys.executable, killed.__file__, str(tmp_path / "out"), "8", "0", "--", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kill for kill in kills if kill["wrong"] or kill["again"]] == []


def test_what_cannot_be_fused_is_refused_in_one_line(
    tmp_path: Path, movie_zarr: Path, noisy_zarr: Path, baikal_run: BaikalRun
) -> None:
    refused = {
        "draws at random": [movie_zarr, "--fuse", "t", "--sampler", "posterior"],
        "has no axis z": [movie_zarr, "--fuse", "tz"],
        "not independent": [movie_zarr, "--fuse", "t", "--uncertainty", tmp_path / "std.zarr"],
        "what still comes": [movie_zarr, "--fuse", "t", "--from", noisy_zarr, "--follow"],
    }
    for words, (source, *options) in refused.items():
        result = baikal_run(source, tmp_path / "out.zarr", *options)
        assert result.exit_code == 2, result.output
        assert words in result.output
        assert not (tmp_path / "out.zarr").exists()
    with pytest.raises(ConfigError):
        RunConfig(movie_zarr, fuse="c")  # type: ignore[arg-type]


def test_a_finished_output_is_fused(tmp_path: Path, movie: np.ndarray) -> None:
    """Unrounded it gives what one run gives; rounded, what rounding allows."""
    source = movie.copy()
    source[1, 0, :40, :40] = 0
    source[4, 0] = 3
    whole = written(tmp_path / "in.zarr", source)
    expected = fused(whole, tmp_path / "fused.zarr", dtype="float32")
    for dtype, tolerance in (("float32", 1e-3), (None, 3.0)):
        fused(whole, tmp_path / "plain.zarr", fuse=None, dtype=dtype, overwrite=True)
        options = {"results": tmp_path / "plain.zarr", "dtype": "float32", "overwrite": True}
        found = fused(whole, tmp_path / "from.zarr", **options)
        np.testing.assert_allclose(found, expected, atol=tolerance)
        mark = Mark.at(tmp_path / "from.zarr")
        assert mark is not None
        assert any("rounded" in note for note in mark.provenance["notes"]) == (dtype is None)
        for kept in (np.s_[1, 0, :40, :40], np.s_[4, 0]):
            np.testing.assert_array_equal(found[kept], source[kept])


def test_a_finished_output_that_does_not_fit_is_refused(
    tmp_path: Path, movie_zarr: Path, baikal_run: BaikalRun
) -> None:
    plain, done = tmp_path / "plain.zarr", tmp_path / "fused.zarr"
    fused(movie_zarr, plain, fuse=None)
    fused(movie_zarr, done)
    refused = {
        "say along which axes": ["--from", plain],
        "is no finished output": ["--from", movie_zarr, "--fuse", "t"],
        "is fused already": ["--from", done, "--fuse", "t"],
        "sampler auto but here matched": ["--from", plain, "--fuse", "t", "--sampler", "matched"],
    }
    for words, options in refused.items():
        result = baikal_run(movie_zarr, tmp_path / "out.zarr", *options)
        assert result.exit_code == 2, result.output
        assert words in result.output
        assert not (tmp_path / "out.zarr").exists()


def test_a_finished_output_is_fused_region_by_region(
    tmp_path: Path, stacks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused(stacks, tmp_path / "plain.zarr", fuse=None)
    found = {}
    for name in ("planes", "regions"):
        monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_, own=LAYOUTS[name]: [own])
        found[name] = fused(stacks, tmp_path / f"{name}.zarr", results=tmp_path / "plain.zarr")
    np.testing.assert_array_equal(found["planes"], found["regions"])


def followed(source: Path, output: Path, stop: int | None = None, **options: Any) -> Follow:
    """Follow a store to which nothing more comes; stopped after so many evaluations."""
    config = RunConfig(source, output, engine="analytic", channels=[0], **{"fuse": "t"} | options)

    def tell(done: int, total: int) -> None:
        if stop is not None and done >= stop:
            raise RuntimeError("stopped")

    with Follow(config, timeout=0.3) as run:
        run.execute(tell)
    return run


def test_a_run_that_follows_fuses_with_what_came_before(
    tmp_path: Path, movie: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one round, and in two of which the second is stopped and continued."""
    source = written(tmp_path / "in.zarr", movie)
    followed(source, tmp_path / "plain.zarr", fuse=None, dtype="float32")
    run = followed(source, tmp_path / "fused.zarr", dtype="float32")
    assert describe_gate(run.recipes.first(0).measurement.gate, run.plan.growing).startswith(  # type: ignore[arg-type]
        "fused with 2 frames before:"
    )
    plain, found = (pixels(tmp_path / f"{name}.zarr")[:, 0] for name in ("plain", "fused"))
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-5)  # nothing was before it
    assert np.diff(found[2:], axis=0).std() < 0.7 * np.diff(plain[2:], axis=0).std()
    assert sorted(os.listdir(tmp_path)) == ["fused.zarr", "in.zarr", "plain.zarr"]
    monkeypatch.setattr(planner, "_layout", lambda memory, limit, _: replace(memory.choose(limit), planes=4))
    with pytest.raises(RuntimeError, match="stopped"):
        followed(source, tmp_path / "again.zarr", stop=FRAMES - 1, dtype="float32")
    assert (tmp_path / "again.zarr.unfused.zarr").is_dir()
    followed(source, tmp_path / "again.zarr", dtype="float32")
    np.testing.assert_array_equal(pixels(tmp_path / "again.zarr"), pixels(tmp_path / "fused.zarr"))
    assert sorted(os.listdir(tmp_path)) == ["again.zarr", "fused.zarr", "in.zarr", "plain.zarr"]
