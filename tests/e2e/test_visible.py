"""What acts on a terminal never reaches one: names of channels, models and files are made visible."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy.untrusted.text import visible
from tests.capabilities import require
from tests.e2e.test_streams import NOISE, RUN, command_of
from tests.unit.volumes.test_collections import group

EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\u202egnp.\u2066\r\nerror: all is lost"
FILE = EVIL.replace("\r\n", "\n").replace("/", "") + os.fsdecode(b"\xff")
"""Of a file: with bytes that are no UTF-8."""
RICH = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
"""What rich itself says to terminals: colours, and where the bars are."""


def image(path: Path, label: str = EVIL) -> Path:
    """An OME-Zarr image whose channel is called something nasty."""
    block = {
        "multiscales": [
            {
                "name": label,
                "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
                "datasets": [
                    {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}
                ],
            }
        ],
        "omero": {"channels": [{"label": label, "color": "FFFFFF"}]},
    }
    group(path, 3, block)
    pixels = np.random.default_rng(0).poisson(100, (64, 64)).astype("u2")
    zarr.create_array(path / "0", data=pixels)
    return path


def said(module: str, *words: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command_of(module, *words), capture_output=True, check=False, timeout=120)


def in_terminal(module: str, *words: Any) -> str:
    """Both streams of a command, as a terminal gets them."""
    require("terminals")
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_of(module, *words),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    output = bytearray()
    try:
        while part := os.read(ours, 65536):
            output += part
    except OSError:  # closed at the other end
        pass
    process.wait(timeout=120)
    return output.decode()


def is_harmless(text: str) -> bool:
    rest = RICH.sub("", text)
    return "\x1b[2J" not in text and all(visible(line) == line for line in re.split(r"\r?\n|\r", rest))


def test_a_plan_notes_and_the_paths(tmp_path: Path) -> None:
    source = image(tmp_path / f"{FILE}.zarr")
    done = said(
        RUN, source, "--engine", "analytic", "--report", tmp_path / "r.html", "--preview", tmp_path / "p.png"
    )
    assert done.returncode == 0, done.stderr
    text = done.stderr.decode()
    assert is_harmless(text)
    assert text.count("a\\x1b[2J") >= 3  # the input, the output and the channel
    # For programs, it is what the system calls it.
    assert done.stdout.startswith(os.fsencode(tmp_path / f"{FILE}_denoised.ome.zarr") + b"\n")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "error: all is lost" in page
    assert all(visible(line) == line for line in page.split("\n"))


def test_in_a_terminal(tmp_path: Path) -> None:
    source = image(tmp_path / f"{FILE}.zarr")
    text = in_terminal(RUN, source, tmp_path / f"{FILE}.ome.zarr", "--engine", "analytic")
    assert is_harmless(text)
    assert f"{visible(FILE)}.ome.zarr" in text.replace("\r\n", "").split("done in")[1]


@pytest.mark.parametrize("module", [RUN, NOISE])
def test_errors(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{FILE}.tif").write_bytes(b"II*\0")
    done = said(module, tmp_path / f"{FILE}.tif", "--engine", "analytic")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert is_harmless(done.stderr.decode())


@pytest.mark.parametrize("words", [[], [FILE], ["--no-such\x1b[2J"], ["--log", FILE], ["--seed", FILE]])
def test_errors_of_usage(tmp_path: Path, words: list[str]) -> None:
    """A shell may fill names of files in."""
    done = said(RUN, tmp_path, tmp_path / "out", *words) if words else said(RUN)
    assert done.returncode == 2
    assert is_harmless(done.stderr.decode())


def test_a_folder_and_its_summary(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / f"{EVIL}.tif", np.ones((32, 32), "u2"))
    (tmp_path / "in" / f"{FILE}.tif").write_bytes(b"")
    (tmp_path / "in" / f"{FILE}.txt").write_bytes(b"")
    done = said(RUN, tmp_path / "in", tmp_path / "out", "--engine", "analytic")
    assert done.returncode == 1
    assert is_harmless(done.stderr.decode())


def test_json_is_for_programs(tmp_path: Path) -> None:
    source = image(tmp_path / f"{FILE}.zarr")
    done = said(RUN, source, "--engine", "analytic", "--log", "json")
    assert done.returncode == 0
    assert done.stderr.isascii()
    first = json.loads(done.stderr.splitlines()[0])
    assert first["input"] == str(source)


def test_noise(tmp_path: Path) -> None:
    done = said(NOISE, image(tmp_path / f"{FILE}.zarr"), "--engine", "analytic")
    assert done.returncode == 0, done.stderr
    assert is_harmless(done.stdout.decode())
    assert b"a\\x1b[2J" in done.stdout


@pytest.mark.parametrize("module", ["baikal_deploy.cli.doctor", "baikal_deploy.cli.serve"])
def test_models(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{FILE}.onnx").write_bytes(b"none")
    done = said(module, "--model", tmp_path / f"{FILE}.onnx")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert is_harmless(done.stderr.decode())


def test_the_others(tmp_path: Path) -> None:
    for module, words in {
        "baikal_training.command": [tmp_path / FILE, "-o", tmp_path / "m.pt"],
        "baikal_export.command": [tmp_path / FILE],
        "baikal_evaluation.command": [tmp_path / FILE],
        "baikal_training.simulate.cli": [tmp_path / "no" / FILE],
    }.items():
        done = said(module, *words)
        assert done.returncode == 2, (module, done)
        assert is_harmless(done.stderr.decode()), (module, done.stderr)
