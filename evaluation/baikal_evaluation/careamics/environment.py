"""Environment that has CAREamics: finding its Python, and running the worker in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from baikal_evaluation.errors import EvaluationError

VARIABLE = "BAIKAL_BASELINES"
"""Environment variable that names the Python to use, before the one of MADE."""
MADE = Path(__file__).parents[3] / ".venv-baselines"
"""The environment that ``make baselines`` creates in a clone."""
SCHEME = "venv"
"""Name of the layout of virtual environments on this system, as ``sysconfig`` has it."""
WORKER = Path(__file__).with_name("worker.py")


def python_in(folder: Path) -> Path:
    """Python of a virtual environment: Windows has it in another folder than other systems.

    Args:
        folder: of the environment.
    """
    return Path(sysconfig.get_path("scripts", SCHEME, {"base": str(folder)})) / "python"


@dataclass(frozen=True)
class Environment:
    """Python that has CAREamics.

    Attributes:
        python: its executable.
        versions: of the packages there that decide a result, and the SHA-256 of the worker.
    """

    python: str
    versions: dict[str, str]

    @classmethod
    def find(cls, method: str) -> Self:
        """Find the Python that has CAREamics.

        Args:
            method: asks for it; the message of the error begins with it.

        Raises:
            EvaluationError: there is none.
        """
        named = os.environ.get(VARIABLE)
        python = named or str(python_in(MADE))
        try:
            done = subprocess.run([python, WORKER, "versions"], capture_output=True, text=True, check=True)
            worker = hashlib.sha256(WORKER.read_bytes()).hexdigest()
            return cls(python, {**json.loads(done.stdout), "worker": worker})
        except (OSError, subprocess.CalledProcessError) as error:
            found = f"{VARIABLE} is {named}, which has no CAREamics" if named else "CAREamics is not set up"
            raise EvaluationError(
                f"{method}: {found}; run make baselines, or name a Python that has it in {VARIABLE}"
            ) from error

    def run(self, what: str, log: Path, *arguments: str | Path) -> None:
        """Run the worker, on one thread.

        Args:
            what: the work, for messages.
            log: file for all that it prints, if it fails.
            arguments: of the worker.

        Raises:
            EvaluationError: it failed; the message holds its last line and names the log.
        """
        done = subprocess.run(
            [self.python, WORKER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        if done.returncode:
            log.write_text(done.stdout, encoding="utf-8")
            lines = done.stdout.split("\n")
            last = next((line for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
            raise EvaluationError(f"{what} by CAREamics failed: {last.strip()}; the whole log is {log}")
