"""What baikal-run says: bars in a terminal, lines in a log file, JSON for programs, or nothing."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from baikal_deploy import Run, RunConfig
from baikal_deploy.cli._log import json as _json_log
from baikal_deploy.cli._log import text as _log
from baikal_deploy.cli.terminal import friendly
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.result import RunReport
from tests.capabilities import require
from tests.e2e.conftest import BaikalRun, write_zarr

COMMAND = [sys.executable, "-c", "from baikal_deploy.cli.run import main; main()"]


def events(stderr: str) -> list[dict[str, Any]]:
    """Every line must be one; JSON proper has no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in stderr.splitlines()]


def without_notes(stderr: str) -> list[dict[str, Any]]:
    """The analytic engine gives reason for some."""
    return [event for event in events(stderr) if event["event"] != "note"]


def test_quiet_says_where_the_output_is_and_nothing_else(baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    result = baikal_run(noisy_zarr, "--quiet")
    assert result.stderr == ""
    assert result.stdout == f"{noisy_zarr.with_name('noisy_denoised.ome.zarr')}\n"
    again = baikal_run(noisy_zarr, "-q", "--seed", 3)
    assert again.exit_code == 2
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize("how", ["text", "json"])
@pytest.mark.parametrize("bare", [False, True])
def test_a_memory_that_is_too_small_is_no_bug(
    baikal_run: BaikalRun, noisy_zarr: Path, monkeypatch: pytest.MonkeyPatch, how: str, bare: bool
) -> None:
    def hold(*args: Any, **named: Any) -> Any:
        if bare:
            raise MemoryError
        return np.empty((2**28, 2**28))

    monkeypatch.setattr(Denoiser, "run", hold)
    result = baikal_run(noisy_zarr, "--log", how)
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    if how == "json":
        assert (json.loads(last)["kind"], json.loads(last)["exit_code"]) == ("MemoryError", 2)
        last = json.loads(last)["message"]
    what = "something that is needed could not be held" if bare else "Unable to allocate 512. PiB for"
    assert f"the memory is too small: {what}" in last
    assert last.endswith("; close other programs, or give less for --memory, --tile, --batch")
    assert "Traceback" not in result.stderr


def test_only_options_of_the_command_at_hand_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @click.option("--batch", type=int)
    @friendly
    def command(batch: int) -> None:
        raise MemoryError("no room")

    with pytest.raises(SystemExit, match="2"):
        command(["--batch", "3"])
    said = "error: the memory is too small: no room; close other programs, or give less for --batch\n"
    assert capsys.readouterr().err == said


def test_json_tells_a_run_from_plan_to_end(
    baikal_run: BaikalRun, noisy_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_json_log, "PROGRESS_SECONDS", 0.0)
    result = baikal_run(noisy_zarr, "--log", "json")
    planned, *progress, done = without_notes(result.stderr)
    output = str(noisy_zarr.with_name("noisy_denoised.ome.zarr"))
    assert result.stdout == f"{output}\n"
    assert {event["input"] for event in events(result.stderr)} == {str(noisy_zarr)}
    assert (planned["event"], planned["output"], planned["shape"]) == ("planned", output, [3, 96, 80])
    assert (planned["evaluations"], planned["evaluations_done"], planned["planes"]) == (6, 0, 3)
    assert planned["provenance"]["channels"][0]["measurement"]["noise"]["gain"] > 0
    assert {event["event"] for event in progress} == {"progress"}
    assert [event["evaluations_done"] for event in progress] == list(range(7))
    assert [event["planes_done"] for event in progress] == [0, 0, 1, 1, 2, 2, 3]
    assert progress[0]["evaluations_per_second"] is None
    assert progress[-1]["seconds_left"] == 0
    assert (done["event"], done["output"], done["evaluations"]) == ("done", output, 6)
    assert done["evaluations_per_second"] == pytest.approx(6 / done["seconds"])


def test_json_reports_progress_now_and_then(baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    result = baikal_run(noisy_zarr, "--log", "json", "--sampler", "repaint")
    assert [event["event"] for event in without_notes(result.stderr)] == ["planned", "progress", "done"]


@pytest.mark.parametrize(
    ("arguments", "kind", "word"),
    [
        (["--sampler", "magic"], "ConfigError", "unknown sampler"),
        (["-o", "start"], "ConfigError", "KEY=VALUE"),
        (["--preview", "look.jpg"], "ConfigError", "look.jpg"),
        (["--mask", "nowhere/mask.zarr"], "VolumeError", "does not exist"),
    ],
)
def test_an_error_is_a_json_object_too(
    baikal_run: BaikalRun, noisy_zarr: Path, arguments: list[str], kind: str, word: str
) -> None:
    result = baikal_run(noisy_zarr, *arguments, "--log", "json")
    assert result.exit_code == 2
    (error,) = events(result.stderr)
    assert (error["event"], error["kind"], error["exit_code"]) == ("error", kind, 2)
    assert word in error["message"]


def test_warnings_and_bugs_are_json_objects_too(
    baikal_run: BaikalRun, noisy_zarr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Run) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("beware", UserWarning, stacklevel=1)
        raise RuntimeError("a bug")

    monkeypatch.setattr(Run, "windows_per_plane", property(broken))
    result = baikal_run(noisy_zarr, "--log", "json")
    assert result.exit_code == 1
    note, error = events(result.stderr)
    assert note["event"] == "note"
    assert "beware" in note["message"]
    assert (error["kind"], error["message"]) == ("RuntimeError", "a bug")
    assert "broken" in error["traceback"]


def test_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    _json_log.JsonLog().done(RunReport(Path("out"), math.inf, 3, Tally(), []))
    (done,) = events(capsys.readouterr().err)
    assert (done["seconds"], done["evaluations_per_second"]) == (None, 0)


def test_names_and_pixels_of_any_kind_in_json(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    pixels = counts.astype(np.float32)
    pixels[0, :2] = np.inf
    path = write_zarr(tmp_path / os.fsdecode(b"\xff [red]\n.zarr"), pixels)
    result = baikal_run(path, "--log", "json", "--quiet")
    assert result.exit_code == 2
    assert "choose one" in result.stderr
    result = baikal_run(path, tmp_path / "out.zarr", "--log", "json")
    assert result.exit_code == 0
    notes = [event["message"] for event in events(result.stderr) if event["event"] == "note"]
    assert "NaN or infinite pixels, left as they are: 160" in notes
    assert events(result.stderr)[0]["input"] == str(path)


def test_a_folder_in_json(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    (tmp_path / "in").mkdir()
    write_zarr(tmp_path / "in" / "a.zarr", counts)
    (tmp_path / "in" / "b.tif").write_bytes(b"no TIFF")
    result = baikal_run(tmp_path / "in", tmp_path / "out", "--log", "json")
    assert result.exit_code == 1
    found = without_notes(result.stderr)
    assert [event["event"] for event in found] == [
        "image", "planned", "progress", "done", "image", "error", "summary"
    ]  # fmt: skip
    bad = str(tmp_path / "in" / "b.tif")
    assert (found[4]["number"], found[4]["count"], found[5]["input"]) == (2, 2, bad)
    assert (found[6]["done"], list(found[6]["failed"])) == (1, [bad])


def test_a_log_file_gets_plain_lines_now_and_then(
    tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zarr(tmp_path / "in.zarr", counts)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "denoising" not in baikal_run(path, tmp_path / "a.zarr").stderr
    monkeypatch.setattr(_log, "LINE_SECONDS", 0.0)
    stderr = baikal_run(path, tmp_path / "b.zarr").stderr
    assert "denoising: 1 of 3 planes, 2 of 6 evaluations, " in stderr
    assert "\ndone in " in stderr
    assert all(character.isprintable() or character == "\n" for character in stderr)


def test_copied_planes_count_as_done(
    tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_json_log, "PROGRESS_SECONDS", 0.0)
    pixels = counts.copy()
    pixels[1:] = 7
    result = baikal_run(write_zarr(tmp_path / "in.zarr", pixels), "--log", "json")
    *_, last, done = without_notes(result.stderr)
    assert (last["event"], last["evaluations_done"], last["planes_done"]) == ("progress", 6, 3)
    assert done["evaluations"] == 2


def test_what_an_earlier_run_did_is_told_and_is_no_speed(
    tmp_path: Path, counts: np.ndarray, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zarr(tmp_path / "in.zarr", np.stack([counts] * 4), dimension_names=list("czyx"))

    def interrupt(done: int, total: int) -> None:
        if done > 18:  # in the last of four shards; at least two are written
            raise KeyboardInterrupt

    with Run(RunConfig(path, engine="analytic")) as run, pytest.raises(KeyboardInterrupt):
        run.execute(interrupt)
    monkeypatch.setattr(_json_log, "PROGRESS_SECONDS", 0.0)
    planned, first, *_, done = without_notes(baikal_run(path, "--log", "json").stderr)
    assert planned["evaluations_done"] in (12, 18)
    assert first["evaluations_done"] == planned["evaluations_done"]
    assert first["evaluations_per_second"] is None
    assert done["evaluations"] == 24 - planned["evaluations_done"]


def in_a_terminal(*arguments: str) -> tuple[str, str]:
    """What the command shows in a terminal, and what goes to stdout, which is none."""
    require("terminals")
    import pty

    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    command = [*COMMAND, *arguments, "--engine", "analytic"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                some = os.read(ours, 4096)
            except OSError as error:
                if error.errno != errno.EIO:  # that is how it ends
                    raise
                break
            shown += some
        assert process.stdout is not None
        stdout = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode(), stdout


def test_a_terminal_shows_bars(tmp_path: Path, counts: np.ndarray) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        write_zarr(tmp_path / "in" / f"{name}.zarr", np.tile(counts, (1, 4, 4)))
    shown, stdout = in_a_terminal(str(tmp_path / "in"), str(tmp_path / "out"), "--sampler", "repaint")
    for text in ("images", "1/2", "planes", "3/3", "evaluations", "90/90", "/s, 0:00:0", "left"):
        assert text in shown, text
    assert stdout.split() == [str(tmp_path / "out" / f"{name}_denoised.ome.zarr") for name in "ab"]


def test_an_interrupt_in_json(tmp_path: Path, counts: np.ndarray) -> None:
    require("signals")
    path = write_zarr(tmp_path / "in.zarr", np.tile(counts, (1, 6, 6)))
    endless = ["--engine", "analytic", "--sampler", "repaint", "-o", "preset=paper", "-o", "repeats=50"]
    command = [*COMMAND, str(path), "--log", "json", *endless]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "in_denoised.ome.zarr" / "0").exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    error = events(stderr)[-1]
    assert (error["event"], error["kind"], error["exit_code"]) == ("error", "KeyboardInterrupt", 130)
    assert "the same command continues from there" in error["message"]
