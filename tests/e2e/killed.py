"""Runs baikal-run again and again in forked children, and kills them.

    python killed.py OUTPUT COUNT SEED -- ARGUMENTS

Every second child is killed at a random moment, the others at a random event of the file system, of which
each write has several: open, rename, mkdir, remove. Before each, the state in OUTPUT.before is put back. What
a killed child left is finished by another one. Prints one JSON line for each: where it was killed, whether it
was, and a digest of all that lies in OUTPUT's folder at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baikal_deploy.cli.run import main
from baikal_deploy.engines import analytic  # noqa: F401  # loaded once, not by every child
from baikal_deploy.volumes.zarr import writer as output  # noqa: F401

GZIP = b"\x1f\x8b"
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")


def child(arguments: list[str], prepare: Callable[[], None] = lambda: None) -> int:
    """Fork, and run there; the process number."""
    if process := os.fork():
        return process
    with open(os.devnull, "w", encoding="utf-8") as null:
        os.dup2(null.fileno(), 2)
        os.dup2(null.fileno(), 1)
        prepare()
        try:
            main(arguments, standalone_mode=False)
        except SystemExit as exit_:
            os._exit(int(exit_.code or 0))
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    raise AssertionError


def finish(process: int) -> int:
    """Its exit code; negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def at_event(folder: str, number: int, counter: Path | None = None) -> Callable[[], None]:
    """Kill this process at an event on files below the folder, or count them all."""

    def prepare() -> None:
        seen = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in EVENTS and str(arguments[0]).startswith(folder):
                seen += 1
                if counter is not None:
                    os.pwrite(descriptor, str(seen).encode(), 0)
                elif seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        descriptor = -1 if counter is None else os.open(counter, os.O_CREAT | os.O_WRONLY)
        sys.addaudithook(hook)

    return prepare


def digest(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(content(file)).hexdigest()[:16] for file in files}


def content(file: Path) -> bytes:
    """The bytes of a file; of one that gzip made, without the time that it notes."""
    data = file.read_bytes()
    return data[:4] + data[8:] if data.startswith(GZIP) else data


def reset(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    before = folder.with_name("before")
    shutil.copytree(before, folder) if before.exists() else folder.mkdir()


def run(folder: Path, count: int, seed: int, arguments: list[str]) -> None:
    random.seed(seed)
    counter = folder.with_name("counter")
    reset(folder)
    assert finish(child(arguments, at_event(str(folder), 0, counter))) == 0
    events, whole = int(counter.read_text()), digest(folder)
    reset(folder)
    started = time.perf_counter()
    assert finish(child(arguments)) == 0
    seconds = time.perf_counter() - started
    assert digest(folder) == whole, "two runs that nobody killed differ"
    for number in range(count):
        moment = random.uniform(0.1, 1) * seconds if number % 2 else random.randint(1, events)
        while True:
            reset(folder)
            process = child(arguments, *([] if number % 2 else [at_event(str(folder), int(moment))]))
            if number % 2:
                time.sleep(moment)
                os.kill(process, signal.SIGKILL)
            killed = finish(process) == -signal.SIGKILL
            if killed or not number % 2:
                break
            moment /= 2  # the machine was busier when the run was timed
        left = {name: file for name, file in digest(folder).items() if not name.endswith(".lock")}
        complete = left == whole  # then the same command says that the output exists
        again = finish(child(arguments))
        again = 0 if complete and again == 2 else again
        found = digest(folder)
        wrong = sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
        print(json.dumps({"at": moment, "killed": killed, "again": again, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[5:])
