"""A Dask cluster started by hand: a scheduler and workers, each a process of its own on loopback."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PATIENCE = 180.0
"""Seconds that are waited for what takes one: on a busy machine a worker takes many to begin."""
STARTED: list[subprocess.Popen[str]] = []
"""Runs, to be ended with the tests where one that failed has left them."""


def wait_until(true: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


class HandCluster:
    """A scheduler, to which workers can be added; all are ended with the context.

    Attributes:
        address: of the scheduler.
    """

    def __init__(self, folder: Path, *common: str) -> None:
        """Args:
        common: options of scheduler and workers.
        """
        self._folder, self._processes, self._common = folder, list[subprocess.Popen[bytes]](), common
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start("scheduler", *options)
        wait_until(lambda: file.is_file() and file.read_text().endswith("}"), "the scheduler")
        self.address: str = json.loads(file.read_text())["address"]

    def add_worker(self, name: str, *options: str, preload: str | None = None) -> subprocess.Popen[bytes]:
        """A worker process without a nanny: to kill it is to kill the worker.

        Args:
            preload: Python code that is run in the worker before anything else.
        """
        if preload is not None:
            file = self._folder / f"{name}_preload.py"
            file.write_text(preload)
            options = (*options, "--preload", str(file))
        nanny = [] if "--nanny" in options else ["--no-nanny"]
        return self._start(
            "worker", self.address, "--name", name, "--nthreads", "2", "--memory-limit", "0",
            "--local-directory", str(self._folder), "--no-dashboard", *nanny, *options,
        )  # fmt: skip

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{arguments[0]}{len(self._processes)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, *self._common],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        self._processes.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def end_workers(self) -> None:
        for process in self._processes[1:]:
            process.kill()
            process.wait()

    def __exit__(self, *exc: object) -> None:
        self.end_workers()
        self.scheduler.terminate()
        self.scheduler.wait(PATIENCE)


RUN = """
from baikal_deploy.cli.run import main
if __name__ == "__main__":
    main()
"""


def start_run(folder: Path, *arguments: Any, preload: str | None = None) -> subprocess.Popen[str]:
    """baikal-run in a process and a process group of its own.

    Args:
        folder: to work in.
        preload: Python code that is run in every worker that it starts.
    """
    (folder / "run.py").write_text(RUN)
    environment = dict(os.environ)
    if preload is not None:
        (folder / "preload.py").write_text(preload)
        environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = str(folder / "preload.py")
    run = subprocess.Popen(
        [sys.executable, str(folder / "run.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=folder,
        env=environment,
    )
    STARTED.append(run)
    return run


@atexit.register
def _end_all() -> None:
    for run in STARTED:
        if run.poll() is None:
            _end(run)


def _end(run: subprocess.Popen[str]) -> None:
    """With the workers that the run has started, which are of its group."""
    if hasattr(os, "killpg"):
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()


def said(process: subprocess.Popen[str]) -> str:
    """All that a run has printed, once it has ended."""
    try:
        return process.communicate(timeout=2 * PATIENCE)[0]
    except subprocess.TimeoutExpired:
        _end(process)
        raise AssertionError(f"has not ended by itself, and said: {process.communicate()[0]}") from None


def items_done(output: Path) -> int:
    """Lines of finished items in the journal of a run."""
    try:
        return output.with_name(output.name + ".journal").read_bytes().count(b'{"item"')
    except FileNotFoundError:
        return 0
