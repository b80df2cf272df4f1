"""Consoles and files in the encodings of Windows: nothing ends for a character that they lack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import write_zarr

ENCODINGS = ("cp1252", "cp437", "cp932")
COMMANDS = {
    "baikal_deploy.cli.run": ["{}"],
    "baikal_deploy.cli.noise": ["{}"],
    "baikal_deploy.cli.models": ["compare", "{}"],
    "baikal_deploy.cli.serve": ["--model", "{}"],
    "baikal_deploy.cli.doctor": ["--model", "{}"],
    "baikal_training.command": ["{}", "-o", "{}.pt"],
    "baikal_training.simulate.cli": ["nuclei", "{}/out", "--psnr", "99"],
    "baikal_export.command": ["{}", "-o", "{}.onnx"],
    "baikal_evaluation.command": ["{}"],
}
"""Every command, with words that end in a message about a path."""
RUNS = """
import json, sys
from importlib import import_module
commands, path = json.loads(sys.argv[1]), sys.argv[2]
for name, words in commands.items():
    for given, wanted in (["--help"], (0, None)), ([word.format(path) for word in words], (2,)):
        sys.argv = [name, *given]
        try:
            import_module(name).main()
            code = 0
        except SystemExit as end:
            code = end.code
        assert code in wanted, (name, given, code)
"""


def python(encoding: str, script: str, *words: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "COLUMNS": "100"}
    command = [sys.executable, "-c", script, *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode(encoding)
    return done


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_shows_its_help_and_names_a_path(encoding: str, tmp_path: Path) -> None:
    """All in one process, as most of the time goes into loading torch."""
    done = python(encoding, RUNS, json.dumps(COMMANDS), tmp_path / "данные 顕微鏡 ⁂")
    said = done.stderr.decode(encoding)
    assert done.returncode == 0, said
    assert done.stdout.decode(encoding).count("Usage:") == len(COMMANDS)
    assert said.count("error: ") == len(COMMANDS), said
    assert "\\u2042" in said  # which none of the encodings has


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
