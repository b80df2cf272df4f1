"""Consoles and files in the encodings of Windows: nothing ends for a character that they lack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import write_zarr

ENCODINGS = ("cp1252", "cp437", "cp932")
COMMANDS = (
    *(f"baikal_deploy.cli.{name}" for name in ("run", "noise", "serve", "doctor")),
    "baikal_training.command", "baikal_training.simulate.cli", "baikal_export.command",
    "baikal_evaluation.command",
)  # fmt: skip
HELPS = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        import_module(name).main()
    except SystemExit as end:
        assert not end.code, (name, end.code)
"""


def python(encoding: str, script: str, *words: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "COLUMNS": "100"}
    command = [sys.executable, "-c", script, *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode(encoding)
    return done


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_shows_its_help(encoding: str) -> None:
    done = python(encoding, HELPS, *COMMANDS)
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert done.stdout.decode(encoding).count("Usage:") == len(COMMANDS)


def test_a_path_in_another_script_ends_no_run(tmp_path: Path, counts: Any) -> None:
    encoding = "cp1252"
    folder = tmp_path / "данные 顕微鏡 ⁂"
    noisy = write_zarr(folder / "細胞.zarr", counts[:1, :32, :32])
    run = "from baikal_deploy.cli.run import main; main()"
    done = python(encoding, run, noisy, folder / "out.zarr", "--engine", "analytic")
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert b"out.zarr" in done.stdout
    shutil.copytree(noisy, folder / "many" / "ячейка.zarr")
    done = python(encoding, run, folder / "many", folder / "results", "--engine", "analytic")
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert [path.name for path in (folder / "results").iterdir()] == ["ячейка_denoised.ome.zarr"]
    missing = python(encoding, run, folder / "細.zarr", folder / "new.zarr")
    assert missing.returncode == 2
    assert missing.stderr.count(b"error: ") == 1


@pytest.mark.parametrize("encoding", ENCODINGS[:2])
def test_the_noise_is_plotted_with_what_there_is(encoding: str) -> None:
    noise = "from baikal_deploy.cli.noise import main; main()"
    done = python(encoding, noise, "examples/nuclei.ome.zarr")
    assert done.returncode == 0
    assert b"\\u" not in done.stdout
    bar = "█" if encoding == "cp437" else "#"
    assert 10 * bar in done.stdout.decode(encoding)
