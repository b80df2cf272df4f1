"""The same command again: what is finished counts as done, and is taken for nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.errors import VolumeError
from baikal_deploy.run.resume.journal import FORMAT
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.killed import digest


class Stopped(Exception):
    """In place of a kill."""


@pytest.fixture
def planes_zarr(tmp_path: Path, counts: np.ndarray) -> Path:
    """Three channels of one plane, and so three shards: (3, 96, 80) uint16."""
    return write_zarr(tmp_path / "in.zarr", counts, chunks=(1, 96, 80), dimension_names=["c", "y", "x"])


def stopped(config: RunConfig, monkeypatch: pytest.MonkeyPatch, calls: int = 2) -> None:
    """A run that ends when the denoiser is called for the n-th time."""
    original, left = Denoiser.run, calls

    def run(self: Denoiser, *more: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise Stopped
        return original(self, *more, **named)

    with Run(config) as planned, monkeypatch.context() as patch:
        patch.setattr(Denoiser, "run", run)
        with pytest.raises(Stopped):
            planned.execute()


ALL = ["--uncertainty", "std", "--mask", "mask", "--preview", "look.png", "--report", "look.html"]


def arguments(folder: Path, source: Path, suffix: str) -> list[str]:
    maps = {"std": f"std{suffix}", "mask": f"mask{suffix}"}
    more = [word if word.startswith("--") else str(folder / maps.get(word, word)) for word in ALL]
    return [str(source), str(folder / f"out{suffix}"), *more]


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_a_finished_run_is_left_as_it_is(
    tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    (tmp_path / "out").mkdir()
    words = arguments(tmp_path / "out", planes_zarr, suffix)
    first = baikal_run(*words)
    assert first.exit_code == 0, first.output
    names = [f"out{suffix}", f"std{suffix}", f"mask{suffix}", "look.png", "look.html"]
    assert first.stdout.split() == [str(tmp_path / "out" / name) for name in names]
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")}
    monkeypatch.setattr(Denoiser, "run", None)
    monkeypatch.setattr(Denoiser, "measure", None)
    for quiet in ([], ["--quiet"]):
        again = baikal_run(*words, *quiet)
        assert again.exit_code == 0, again.output
        assert again.stdout == first.stdout
        assert ("complete already" in again.stderr) == (not quiet)
        assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")} == before


@pytest.mark.parametrize("damage", ["missing", "cut off", "older"])
def test_pictures_that_are_missing_are_made_without_denoising(
    tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    (tmp_path / "out").mkdir()
    words = arguments(tmp_path / "out", planes_zarr, ".zarr")
    assert baikal_run(*words).exit_code == 0
    pictures = [tmp_path / "out" / name for name in ("look.png", "look.html")]
    whole = [path.read_bytes() for path in pictures]
    for path in pictures:
        if damage == "missing":
            path.unlink()
        elif damage == "cut off":
            path.write_bytes(path.read_bytes()[:-20])
        else:
            os.utime(path, (1, 1))
    monkeypatch.setattr(Denoiser, "run", None)
    again = baikal_run(*words)
    assert again.exit_code == 0, again.output
    assert pictures[0].read_bytes() == whole[0]
    assert pictures[1].read_bytes().rstrip().endswith(b"</html>")
    assert sorted(os.listdir(tmp_path / "out")) == [
        "look.html",
        "look.png",
        "mask.zarr",
        "out.zarr",
        "std.zarr",
    ]


@pytest.mark.parametrize("change", ["seed", "input", "mask", "incomplete"])
def test_what_is_not_the_same_is_refused(
    tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun, change: str
) -> None:
    words = [planes_zarr, tmp_path / "out.zarr"]
    assert baikal_run(*words).exit_code == 0
    if change == "input":
        os.utime(planes_zarr / "zarr.json", (1, 1))
    if change == "incomplete":
        group = zarr.open_group(tmp_path / "out.zarr")
        group.update_attributes({"baikal": {**group.attrs["baikal"], "complete": False}})  # type: ignore[dict-item]
    words += {"seed": ["--seed", 3], "mask": ["--mask", tmp_path / "mask.zarr"]}.get(change, [])
    before = digest(tmp_path)
    again = baikal_run(*words)
    assert again.exit_code == 2
    assert "out.zarr: exists already; choose another output, or allow overwriting" in again.stderr
    assert again.stderr.count("\n") == 1
    assert digest(tmp_path) == before
    dry = baikal_run(*words, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "the run would be refused" in dry.stderr
    assert digest(tmp_path) == before


def test_a_dry_run_does_not_mind_what_is_there(
    tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun
) -> None:
    for name, make in (("a.zarr", Path.mkdir), ("b.tif", Path.touch)):
        make(tmp_path / name)
        done = baikal_run(planes_zarr, tmp_path / name, "--dry-run")
        assert done.exit_code == 0, done.output
        assert "estimated time" in done.stderr
    assert baikal_run(planes_zarr, tmp_path / "c.zarr").exit_code == 0
    done = baikal_run(planes_zarr, tmp_path / "c.zarr", "--dry-run")
    assert done.exit_code == 0
    assert "complete already" in done.stderr


def test_overwriting_makes_it_anew(tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun) -> None:
    assert baikal_run(planes_zarr, tmp_path / "out.zarr").exit_code == 0
    inode = (tmp_path / "out.zarr").stat().st_ino
    assert baikal_run(planes_zarr, tmp_path / "out.zarr", "--overwrite").exit_code == 0
    assert (tmp_path / "out.zarr").stat().st_ino != inode


def test_draws_that_are_finished_are_left(tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun) -> None:
    words = [planes_zarr, tmp_path / "out.zarr", "--sampler", "posterior", "-o", "steps=walk2", "--draws", 2]
    first = baikal_run(*words)
    assert first.exit_code == 0, first.output
    shutil.rmtree(tmp_path / "out_draw2.zarr")
    again = baikal_run(*words)
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert again.stderr.count("complete already") == 1


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_journal_takes_no_other_output_for_its_own(
    tmp_path: Path, planes_zarr: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, overwrite: bool
) -> None:
    """A finished output of another input is put where the unfinished one was."""
    other = write_zarr(
        tmp_path / "other.zarr", zarr.open_array(planes_zarr)[:] // 2, chunks=(1, 96, 80),
        dimension_names=["c", "y", "x"],
    )  # fmt: skip
    config = RunConfig(planes_zarr, tmp_path / f"out{suffix}", engine="analytic", overwrite=overwrite)
    stopped(config, monkeypatch)
    place = tmp_path / f"out{suffix}{'.partial' if suffix == '.tif' else ''}"
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with Run(RunConfig(other, tmp_path / f"b{suffix}", engine="analytic")) as run:
        run.execute()
    (tmp_path / f"b{suffix}").rename(place)
    before = digest(place.parent)
    if overwrite and suffix == ".zarr":
        with Run(config) as run:
            assert run.earlier is None
            run.execute()
        return
    with pytest.raises(VolumeError, match=r"exists already|is in the way"), Run(config) as run:
        run.execute()
    assert digest(place.parent) == before


def test_a_journal_takes_no_unfinished_output_of_another_run(
    tmp_path: Path, planes_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same shape, same command, other run: nothing tells them apart but their ids."""
    config = RunConfig(planes_zarr, tmp_path / "out.zarr", engine="analytic")
    stopped(config, monkeypatch)
    (tmp_path / "out.zarr").rename(tmp_path / "first.zarr")
    (tmp_path / "out.zarr.journal").rename(tmp_path / "first.journal")
    stopped(config, monkeypatch)
    shutil.rmtree(tmp_path / "out.zarr")
    (tmp_path / "first.zarr").rename(tmp_path / "out.zarr")
    with pytest.raises(VolumeError, match="exists already"):
        Run(config)


def test_one_of_several_outputs_is_another_s(
    tmp_path: Path, planes_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is removed before it is known that the run can begin."""
    config = RunConfig(planes_zarr, tmp_path / "out.zarr", mask=tmp_path / "mask.zarr", engine="analytic")
    stopped(config, monkeypatch)
    shutil.rmtree(tmp_path / "mask.zarr")
    shutil.copytree(planes_zarr, tmp_path / "mask.zarr")
    before = digest(tmp_path)
    with pytest.raises(VolumeError, match=r"mask\.zarr: exists already"):
        Run(config)
    assert digest(tmp_path) == before


def test_a_journal_of_another_version_is_refused_in_one_line(
    tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun
) -> None:
    lines = [{"journal": FORMAT - 1, "fingerprint": {}, "places": [], "tiffs": []}, {"created": [1]}]
    journal = tmp_path / "out.zarr.journal"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = digest(tmp_path)
    result = baikal_run(planes_zarr, tmp_path / "out.zarr")
    assert result.exit_code == 2
    assert "out.zarr.journal: is the journal of a run of another version" in result.stderr
    assert result.stderr.count("\n") == 1
    assert digest(tmp_path) == before


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"run": "x", "fingerprint": {}, "layout": {}, "places": []},
        {"run": 32 * "a", "fingerprint": [], "layout": {}, "places": []},
        {"run": 32 * "a", "fingerprint": {}, "layout": {}, "places": [["a"]]},
        {"run": 32 * "a", "fingerprint": {}, "layout": {}, "places": [["out.zarr", "mine"]]},
    ],
)
def test_a_journal_that_somebody_made_up_removes_nothing(
    tmp_path: Path, planes_zarr: Path, baikal_run: BaikalRun, header: dict[str, Any]
) -> None:
    (tmp_path / "mine").mkdir()
    text = json.dumps({"journal": FORMAT, **header}).replace('"mine"', json.dumps(str(tmp_path / "mine")))
    (tmp_path / "out.zarr.journal").write_text(text + "\n" + '{"item": [], "tally": 3}\n')
    result = baikal_run(planes_zarr, tmp_path / "out.zarr")
    assert result.exit_code == 2
    assert "out.zarr.journal: the journal of a run is damaged" in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["in.zarr", "mine", "out.zarr.journal"]


def killed_at(moment: float, words: list[str], cwd: Path) -> bool:
    """Whether baikal-run was killed after so many seconds."""
    require("signals")
    process = subprocess.Popen(
        [sys.executable, "-c", "from baikal_deploy.cli.run import main; main()", *words],
        cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", "folder", "tiff"])
def test_the_same_command_always_reaches_its_end(tmp_path: Path, counts: np.ndarray, kind: str) -> None:
    """30 kills at random moments, until the pictures are made; then the command once more."""
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        tifffile.imwrite(source / f"{number}.tif", counts + number, photometric="minisblack")
    out, rng, kills = tmp_path / "out", np.random.default_rng(0), 0
    pictures = ["--preview", str(out / "look"), "--report", str(out / "page")]
    if kind == "folder":
        words = [str(source), str(out / "all")]
    else:
        out.mkdir()
        words = [str(source / "0.tif"), str(out / f"a.{'ome.tif' if kind == 'tiff' else 'zarr'}")]
        pictures = ["--preview", str(out / "look.png"), "--report", str(out / "page.html")]
    words += [*pictures, "--engine", "analytic"]
    while kills < 30:
        if not out.exists():
            out.mkdir()
        started = time.perf_counter()
        if not killed_at(rng.uniform(0.3, 4), words, tmp_path):
            shutil.rmtree(out)  # it was finished: from the beginning
            continue
        assert time.perf_counter() - started < 10
        kills += 1
    done = subprocess.run(
        [sys.executable, "-c", "from baikal_deploy.cli.run import main; main()", *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).exists()
    left = [path.name for path in out.rglob("*") if path.name.endswith((".journal", ".lock", ".kept"))]
    assert left == []
