"""The JSON file of a smoke run, which is whole after every step, and what it says about an engine."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.host.durable import write_file
from baikal_deploy.models.manifest import Precision

TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 1e-2, "bf16": 2e-2, "int8": 0.15}
"""Largest relative error of an engine against the reference, by what it computes in."""
QUALITY_DB = 0.1
"""Most that a denoised plane may lose in PSNR against the clean one, as compared with the reference."""
GROWTH_BYTES = 32 * 2**20
"""Most memory that the repeated calls may leave behind."""

Run = dict[str, Any]
"""Findings about one engine in one precision: ``state``, ``exit_code``, ``steps``, ``log``."""


def write(path: Path, data: dict[str, Any]) -> None:
    """Replace the file at once, so that a crash leaves the last whole one.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        write_file(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


def read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def problems(run: Run) -> list[str]:
    """List what is wrong with an engine, in words; nothing if it does all that it should."""
    return [*_broken_off(run), *_failed_steps(run), *_wrong_numbers(run)]


def _broken_off(run: Run) -> list[str]:
    if run["state"] == "timed out":
        return ["it did not finish in time and was stopped"]
    if run["exit_code"] == 0:
        return []
    last = next(reversed(run["steps"]), "none")
    return [f"its process ended with {_exit(run['exit_code'])}; the last step that it finished was: {last}"]


def _exit(code: int) -> str:
    """Words for an exit code, which is minus the number of the signal that killed the process."""
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"


def _failed_steps(run: Run) -> list[str]:
    return [f"{name}: {found['error']}" for name, found in run["steps"].items() if "error" in found]


def _wrong_numbers(run: Run) -> list[str]:
    steps = {name: found for name, found in run["steps"].items() if "error" not in found}
    tolerance, found = TOLERANCE[run["precision"]], []
    for name, step in steps.items():
        worst = step.get("relative_error", 0.0)
        if worst is None:
            found.append(f"{name}: NaN or infinite values")
        elif worst > tolerance:
            found.append(f"{name}: relative error {worst:.2g}; at most {tolerance:g} was expected")
    if not steps.get("repeated", {}).get("same_bits", True):
        found.append("repeated: the same call did not give the same bits")
    lost = steps.get("denoised", {}).get("lost_db", 0.0)
    if lost > QUALITY_DB:
        found.append(f"denoised: {lost:.2g} dB worse than the reference; at most {QUALITY_DB} was expected")
    grown = steps.get("many calls", {}).get("grown_bytes") or 0
    if grown > GROWTH_BYTES:
        found.append(f"many calls: memory grew by {grown / 2**20:.0f} MiB")
    return found
