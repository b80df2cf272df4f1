"""Standard output and error that are full, closed, or read by nobody: a run does not end for that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.conftest import write_zarr

RUN, NOISE = "baikal_deploy.cli.run", "baikal_deploy.cli.noise"
OTHERS = ("baikal_deploy.cli.serve", "baikal_deploy.cli.doctor", "baikal_training.simulate.cli")
WITH_TORCH = ("baikal_training.command", "baikal_export.command", "baikal_evaluation.command")

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a stream that is always full")


@pytest.fixture
def noisy(tmp_path: Path, counts: np.ndarray) -> Path:
    return write_zarr(tmp_path / "in.zarr", counts[:1, :32, :32])


def command_of(module: str, *words: Any) -> list[str]:
    return [sys.executable, "-c", f"from {module} import main; main()", *map(str, words)]


def in_shell(redirected: str, module: str, *words: Any) -> subprocess.CompletedProcess[str]:
    """What a command does with streams as a shell redirects them; a pipe does not hide its exit code."""
    script = f'set -o pipefail; "$@" {redirected}'
    command = ["bash", "-c", script, "bash", *command_of(module, *words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run(redirected: str, noisy: Path, *options: Any) -> subprocess.CompletedProcess[str]:
    output = noisy.with_name("out.zarr")
    done = in_shell(redirected, RUN, noisy, output, "--engine", "analytic", *options)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert '"complete": true' in (output / "zarr.json").read_text()
    assert not list(noisy.parent.glob("*.journal"))
    return done


@pytest.mark.parametrize(
    ("redirected", "options"),
    [
        ("2>&-", []),
        ("2>/dev/full", []),
        ("2>&-", ["--log", "json"]),
        ("2>/dev/full", ["--log", "json"]),
        ("<&- >&- 2>&-", []),
    ],
)
def test_streams_that_are_closed_or_full(noisy: Path, redirected: str, options: list[str]) -> None:
    done = run(redirected, noisy, *options)
    assert done.returncode == 0
    assert done.stdout in ("", f"{noisy.with_name('out.zarr')}\n")


@pytest.mark.parametrize("options", [[], ["--log", "json"]])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_away(noisy: Path, options: list[str], stream: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = command_of(RUN, noisy, noisy.with_name("out.zarr"), "--engine", "analytic", *options)
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writing}
    done = subprocess.run(command, text=True, check=False, **both)  # type: ignore[call-overload]
    os.close(writing)
    assert done.returncode == 0
    assert "Traceback" not in (done.stderr or "")
    assert "Exception ignored" not in (done.stderr or "")
    assert '"complete": true' in (noisy.with_name("out.zarr") / "zarr.json").read_text()


def test_a_pipe_into_head(noisy: Path) -> None:
    assert run("| head -c 0", noisy).returncode == 0


def test_paths_that_cannot_be_told(noisy: Path) -> None:
    done = run(">/dev/full", noisy, "--quiet")
    assert done.returncode == 2
    assert done.stderr == (
        "error: standard output cannot be written: No space left on device; what was asked for is done, but "
        "not all of it could be told\n"
    )


def test_paths_that_cannot_be_told_to_a_program(noisy: Path) -> None:
    done = run(">/dev/full", noisy, "--log", "json")
    assert done.returncode == 2
    *_, finished, last = map(json.loads, done.stderr.splitlines())
    assert finished["event"] == "done"
    assert (last["event"], last["exit_code"]) == ("error", 2)
    assert last["message"].startswith("standard output cannot be written")


def test_errors_that_nobody_reads(noisy: Path) -> None:
    for redirected, options in (("2>&-", []), ("2>/dev/full", ["--log", "json"])):
        assert in_shell(redirected, RUN, noisy, noisy, *options).returncode == 2


def test_help_that_is_not_read_and_complaints_that_are_not() -> None:
    assert in_shell("| head -c 0", RUN, "--help").returncode == 0
    assert in_shell("2>/dev/full", RUN, "--none").returncode == 2


@pytest.mark.parametrize(
    "module", [RUN, NOISE, *OTHERS, *(pytest.param(one, marks=pytest.mark.slow) for one in WITH_TORCH)]
)
def test_help_of_every_command(module: str) -> None:
    full = in_shell(">/dev/full", module, "--help")
    assert full.returncode == 2
    assert full.stderr.startswith("error: standard output cannot be written")
    assert full.stderr.count("\n") == 1


def test_the_noise_of_a_volume(noisy: Path) -> None:
    words = (noisy, "--engine", "analytic")
    assert in_shell("| head -c 0", NOISE, *words).returncode == 0
    full = in_shell(">/dev/full", NOISE, *words, "--json")
    assert (full.returncode, full.stderr.count("\n")) == (2, 1)


def test_names_that_are_no_text(tmp_path: Path, counts: np.ndarray) -> None:
    """Paths come out as they are, byte for byte."""
    noisy = write_zarr(tmp_path / os.fsdecode(b"in\xff.zarr"), counts[:1, :32, :32])
    command = command_of(RUN, noisy, "--engine", "analytic", "--quiet")
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == os.fsencode(tmp_path / os.fsdecode(b"in\xff_denoised.ome.zarr")) + b"\n"


def test_what_an_encoding_lacks(noisy: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = command_of(NOISE, noisy, "--engine", "analytic")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
