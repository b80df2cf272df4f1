"""Denoising a store while another process writes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.growing.base import Seen
from baikal_deploy.volumes.growing.look import look
from tests.capabilities import require
from tests.e2e import growing
from tests.e2e.following import check, image, result, write_steps
from tests.e2e.killed import digest

KINDS = ["acquire", "acquire-flat", "acquire-ngff", "acquire-keyed", "append", "preallocated", "ndtiff"]
CLOSES = ("acquire", "acquire-flat", "acquire-ngff", "ndtiff")
"""Whose store tells that it is closed."""


class Processes:
    """Writers and followers; what is left of them at the end of a test is killed."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[str]] = []

    def start(self, *words: Any) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [str(word) for word in words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._all.append(started)
        return started

    def write(self, kind: str, path: Path, steps: int, seconds: float, last: Any = "") -> Any:
        return self.start(sys.executable, growing.__file__, kind, path, steps, seconds, last)

    def follow(self, path: Path, *words: Any, timeout: float = 3) -> subprocess.Popen[str]:
        code = "from baikal_deploy.cli.run import main; main()"
        options = ["--follow", "--follow-timeout", timeout, "--engine", "analytic"]
        return self.start(sys.executable, "-c", code, path, *options, *words)

    def end(self) -> None:
        for process in self._all:
            process.kill()
            process.communicate()


@pytest.fixture
def processes() -> Iterator[Processes]:
    found = Processes()
    yield found
    found.end()


def store(tmp_path: Path, kind: str) -> Path:
    """Where the writer's store will be."""
    if kind != "ndtiff":
        return tmp_path / "in.zarr"
    pytest.importorskip("ndstorage")
    return tmp_path / "in"


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out + err


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_store_is_denoised_as_it_grows(tmp_path: Path, kind: str, processes: Processes) -> None:
    """The follower is there first, and the writer slower than it."""
    path = store(tmp_path, kind)
    follower = processes.follow(image(path), timeout=1000 if kind in CLOSES else 4)
    finish(processes.write(kind, path, 13, 0.2))
    said = finish(follower)
    check(result(path), kind, 13)
    assert f"following {image(path)}" in said
    assert ("not whole" in said) == (kind == "preallocated")
    assert ("has no OME metadata" in said) == (kind not in ("acquire-ngff", "ndtiff"))


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_killed_writer_what_is_whole_is_denoised(
    tmp_path: Path, kind: str, processes: Processes
) -> None:
    path = store(tmp_path, kind)
    writer = processes.write(kind, path, 20, 0.05, 15)
    follower = processes.follow(image(path))
    assert writer.stdout.readline() == "ready\n"
    time.sleep(0.5)
    writer.kill()
    said = finish(follower)
    assert ("has no OME metadata" in said) == (kind != "ndtiff")
    # acquire-zarr shows whole shards of 4 steps; of the NDTiff index, a piece of the last entries is missing.
    count = {"append": 15, "preallocated": 15, "ndtiff": 14}.get(kind, 12)
    check(result(path), kind, count)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_half_written_is_read(tmp_path: Path, kind: str, processes: Processes) -> None:
    """A writer as fast as can be, killed at some moment, and a reader that looks as often as can be."""
    path = store(tmp_path, kind)
    writer = processes.write(kind, path, 100 if kind == "preallocated" else 5000, 0)
    known, looks, ends, seen = 0, 0, None, Seen(None)
    while ends is None or time.monotonic() < ends:
        try:
            seen = look(image(path), None, seen, False)
        except VolumeError:  # metadata that is half written
            continue
        volume = seen.volume
        if volume is not None and volume.info.shape[0] > known:
            looks += 1
            per_step = volume.info.num_planes // volume.info.shape[0]
            for number in range(known, min(volume.info.shape[0], known + 20)):
                planes = volume.read(range(number * per_step, (number + 1) * per_step))
                np.testing.assert_array_equal(planes, growing.step(number)[:per_step])
                known = number + 1
        if ends is None and (known > 90 or writer.poll() is not None):
            writer.kill()
            ends = time.monotonic() + 0.3
    assert known > 50
    assert looks > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["acquire", "ndtiff"])
def test_a_killed_follower_goes_on(tmp_path: Path, kind: str, processes: Processes) -> None:
    path = store(tmp_path, kind)
    writer = processes.write(kind, path, 60, 0.3)
    journal = result(path).with_name(f"{result(path).name}.journal")
    done = 0
    for _ in range(3):
        follower = processes.follow(image(path), timeout=60)
        before = done
        while done == before:
            assert follower.poll() is None, follower.communicate()
            time.sleep(0.05)
            done = journal.read_text().count('"item"') if journal.exists() else 0
        follower.kill()
        follower.wait()
    finish(writer)
    finish(processes.follow(image(path)))
    check(result(path), kind, 60)
    result(path).rename(tmp_path / "pieces.zarr")
    finish(processes.follow(image(path)))
    assert digest(result(path)) == digest(tmp_path / "pieces.zarr")


def test_ctrl_c_finishes_what_is_there(tmp_path: Path, processes: Processes) -> None:
    require("signals")
    path = tmp_path / "in.zarr"
    write_steps(path, 10)
    follower = processes.follow(path, timeout=1000)
    while not result(path).exists():
        time.sleep(0.1)
    time.sleep(1)
    follower.send_signal(signal.SIGINT)
    assert "interrupted: finishing what is there" in finish(follower)
    check(result(path), "append", 10)
