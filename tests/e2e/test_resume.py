"""A run that was killed goes on where it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.errors import VolumeError
from baikal_deploy.host.locks import locked
from baikal_deploy.run.resume.journal import Journal
from tests.e2e import killed
from tests.e2e.conftest import BaikalRun, write_zarr

SHARDS = 3


@pytest.fixture
def channels_zarr(tmp_path: Path, counts: np.ndarray) -> Path:
    """Three channels, and so three shards: (3, 1, 96, 80) uint16."""
    path = tmp_path / "in.zarr"
    return write_zarr(path, counts[:, None], chunks=(1, 1, 96, 80), dimension_names=["c", "z", "y", "x"])


def tree(path: Path) -> dict[str, str]:
    return killed.digest(path)


class Stopped(Exception):
    """In place of a kill."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes runs stop when so many items are in the journal; returns the planes that were denoised."""
    original, denoised = Denoiser.run, list[int]()

    def stop(items: int) -> list[int]:
        left = items

        def run(self: Denoiser, recipe: Any, stack: Any, *more: Any, **named: Any) -> Any:
            nonlocal left
            if not left:
                raise Stopped
            left -= 1
            denoised.extend(stack.indices)
            return original(self, recipe, stack, *more, **named)

        monkeypatch.setattr(Denoiser, "run", run)
        return denoised

    return stop


def run_killed(tmp_path: Path, count: int, arguments: list[str]) -> list[dict[str, Any]]:
    command = [sys.executable, killed.__file__, str(tmp_path / "out"), str(count), "0", "--", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def arguments(tmp_path: Path, source: Path) -> list[str]:
    out = tmp_path / "out"
    maps = ["--uncertainty", str(out / "std.zarr"), "--mask", str(out / "mask.zarr")]
    return [str(source), str(out / "result.zarr"), *maps, "--engine", "analytic"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_at_any_moment_changes_nothing(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun, overwrite: bool
) -> None:
    """30 kills each; the second time there are older outputs to be replaced."""
    words = arguments(tmp_path, channels_zarr)
    if overwrite:
        (tmp_path / "out").mkdir()
        assert baikal_run(*words, "--seed", 9).exit_code == 0
        (tmp_path / "out").rename(tmp_path / "before")
        words.append("--overwrite")
    kills = run_killed(tmp_path, 30, words)
    assert sum(kill["killed"] for kill in kills) == 30
    assert [kill for kill in kills if kill["wrong"] or kill["again"]] == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "words",
    [
        ["result.tif", "--codec", "zlib"],
        ["result.tif"],
        ["result.zarr", "--ngff", "0.4", "--chunk", "32"],
        ["result.zarr", "--shard", "none", "--codec", "zlib"],
    ],
    ids=" ".join,
)
def test_a_kill_changes_nothing_however_it_is_stored(
    tmp_path: Path, channels_zarr: Path, words: list[str]
) -> None:
    name, *options = words
    place = [str(channels_zarr), str(tmp_path / "out" / name), "--engine", "analytic"]
    kills = run_killed(tmp_path, 16, [*place, *options])
    assert sum(kill["killed"] for kill in kills) == 16
    assert [kill for kill in kills if kill["wrong"] or kill["again"]] == []


def test_only_what_is_missing_is_done_again(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun, stop_after: Any
) -> None:
    assert baikal_run(channels_zarr, tmp_path / "whole.zarr").exit_code == 0
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    denoised = stop_after(2)
    with Run(config) as run, pytest.raises(Stopped):
        run.execute()
    assert denoised == [0, 1]
    stop_after(SHARDS)
    steps: list[tuple[int, int]] = []
    with Run(config) as run:
        assert (run.evaluations_done, run.evaluations) == (
            2 * run.recipes.first(0).nfe,
            3 * run.recipes.first(0).nfe,
        )
        run.execute(lambda done, total: steps.append((done, total)))
    assert denoised == [0, 1, 2]
    assert steps[0] == (run.evaluations_done, run.evaluations)
    assert steps[-1][0] == run.evaluations
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "whole.zarr")
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.zarr", "whole.zarr"]


def test_channels_are_not_measured_again(
    tmp_path: Path, channels_zarr: Path, stop_after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    stop_after(1)
    with Run(config) as run, pytest.raises(Stopped):
        run.execute()
    monkeypatch.setattr(Denoiser, "measure", None)
    with Run(config) as again:
        # Text, since NumPy's numbers equal Python's, and compute with other rounding.
        found, before = ([one.measurement for one in r.recipes.known.values()] for r in (again, run))
        assert repr(found) == repr(before)


def test_damage_to_an_unfinished_shard_does_not_count(
    tmp_path: Path, channels_zarr: Path, stop_after: Any
) -> None:
    """As a power cut may leave one: there, but not whole; and files that were being written."""
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    stop_after(SHARDS)
    with Run(config) as run:
        run.execute()
    whole = tree(tmp_path / "out.zarr")
    (tmp_path / "out.zarr").rename(tmp_path / "whole.zarr")
    stop_after(1)
    with Run(config) as run, pytest.raises(Stopped):
        run.execute()
    shard = tmp_path / "out.zarr" / "0" / "c" / "1" / "0" / "0" / "0"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"half")
    shard.with_name("0." + 32 * "a" + ".partial").write_bytes(b"half")
    with (tmp_path / "out.zarr.journal").open("ab") as journal:
        journal.write(b'{"item": 1, "tal')
    stop_after(SHARDS)
    with Run(config) as run:
        run.execute()
    assert tree(tmp_path / "out.zarr") == whole


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--seed", "3"], "seed 0 is now 3"),
        (["--batch", "2"], "tiling batch 1 is now 2"),
        (["--tile", "128", "--overlap", "16"], "tiling tile 512 is now 128, tiling overlap"),
        (["--budget", "best"], "options budget balanced is now best"),
        (["--sampler", "matched"], "sampler auto is now matched"),
        (["--mask", "mask.zarr"], "mask None is now"),
        (["--model", "tribolium"], "model name general is now tribolium, model sha256"),
    ],
)
def test_another_run_is_refused_and_overwriting_starts_anew(
    tmp_path: Path,
    channels_zarr: Path,
    baikal_run: BaikalRun,
    stop_after: Any,
    changed: list[str],
    words: str,
) -> None:
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    stop_after(1)
    with Run(config) as run, pytest.raises(Stopped):
        run.execute()
    before = tree(tmp_path)
    changed = [word.replace("mask.zarr", str(tmp_path / "mask.zarr")) for word in changed]
    result = baikal_run(channels_zarr, config.output, *changed)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "out.zarr: an unfinished run is there" in result.stderr
    assert "--overwrite" in result.stderr
    assert tree(tmp_path) == before
    denoised = stop_after(SHARDS)
    denoised.clear()
    assert baikal_run(channels_zarr, config.output, *changed, "--overwrite").exit_code == 0
    assert sorted(denoised) == [0, 1, 2]
    assert not (tmp_path / "out.zarr.journal").exists()


def test_an_input_that_was_written_again_is_another(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun, stop_after: Any
) -> None:
    stop_after(1)
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    with Run(config) as run, pytest.raises(Stopped):
        run.execute()
    os.utime(channels_zarr / "zarr.json", (1, 1))
    result = baikal_run(channels_zarr, tmp_path / "out.zarr")
    assert result.exit_code == 2
    assert "contents of the input files zarr.json" in result.stderr


def test_an_unfinished_output_that_is_gone_hinders_nobody(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun, stop_after: Any
) -> None:
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    stop_after(1)
    with Run(config) as run, pytest.raises(Stopped):
        run.execute()
    (tmp_path / "out.zarr").rename(tmp_path / "elsewhere.zarr")
    stop_after(SHARDS)
    result = baikal_run(channels_zarr, config.output, "--seed", 5)
    assert result.exit_code == 0, result.output
    assert zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["baikal"]["complete"] is True  # type: ignore[index,call-overload]


def test_a_second_run_on_one_output_is_refused(
    tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun
) -> None:
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    with Run(config) as run:
        with locked(config.target):
            result = baikal_run(channels_zarr, config.output)
            assert result.exit_code == 2
            assert "out.zarr: another run is writing it now" in result.stderr
            with pytest.raises(VolumeError, match="another run"):
                run.execute()  # it was planned before the other one had begun
        assert not (tmp_path / "out.zarr").exists()
        (tmp_path / "out.zarr.lock").touch()  # as a process that died leaves it
        run.execute()
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "out.zarr"]


def test_a_run_that_another_has_finished_meanwhile_is_refused(tmp_path: Path, channels_zarr: Path) -> None:
    config = RunConfig(channels_zarr, tmp_path / "out.zarr", engine="analytic")
    with Run(config) as first, Run(config) as second:
        first.execute()
        before = tree(tmp_path)
        with pytest.raises(VolumeError, match="exists already"):
            second.execute()
    assert tree(tmp_path) == before


def test_the_journal_is_no_other_file(tmp_path: Path, channels_zarr: Path, baikal_run: BaikalRun) -> None:
    (tmp_path / "out.zarr.journal").write_text("my diary")
    result = baikal_run(channels_zarr, tmp_path / "out.zarr")
    assert result.exit_code == 2
    assert "out.zarr.journal: is not a journal of this program" in result.stderr
    assert (tmp_path / "out.zarr.journal").read_text() == "my diary"


def test_a_line_that_was_cut_off_is_written_over(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path / "j", {"fingerprint": {}, "layout": {}, "places": []})
    journal.record({"item": 0, "tally": {}})
    with journal.path.open("ab") as file:
        file.write(b'{"item": 1, "tally": {}}')  # whole, but for the line's end
    again = Journal.load(journal.path)
    assert again is not None
    assert list(again.done) == [0]
    again.record({"item": 7, "tally": {}})
    assert list(Journal.load(journal.path).done) == [0, 7]  # type: ignore[union-attr]
