"""A check that the GPU engines do on a real GPU what they should: the script for a machine that has one.

Each engine runs in a process of its own, so that a crash is a line in the result and not its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any

from baikal_deploy.doctor.examine import EngineExamination, Examination
from baikal_deploy.doctor.smoke.bench import REFERENCE
from baikal_deploy.doctor.smoke.findings import Run, problems, read, write
from baikal_deploy.engines import check_precision, engine_class
from baikal_deploy.engines._kept_files import VARIABLE
from baikal_deploy.models.manifest import Precision, find_model
from baikal_deploy.models.onnx_file import file_sha256

SCHEMA = 1
LONGEST = 3600.0
"""Seconds after which an engine is stopped; TensorRT may build for many minutes."""
LOG_LINES = 80
"""Most lines that are kept of what a process printed last; vendors say there why they crash."""


def gpu_engines(examination: Examination) -> list[str]:
    """The engines that compute on something else than the CPU, whether they work here or not."""
    return [engine.name for engine in examination.engines if engine.device != "CPU"]


def smoke(
    path: Path,
    model: str,
    examination: Examination,
    engines: Sequence[str],
    say: Callable[[str], None],
    longest: float = LONGEST,
) -> dict[str, Run]:
    """Try engines against the reference, and write what is found to a JSON file after every step.

    Args:
        path: of the file, which is replaced.
        model: shipped name or .onnx file.
        examination: of this machine and the model; engines that do not work are listed with its reasons.
        engines: their names.
        say: called with lines that tell how far it is.
        longest: seconds that each engine may take.

    Returns:
        What was found, by engine and precision ("tensorrt fp32"), for each that works here.

    Raises:
        ConfigError: the file cannot be written, or the reference cannot compute the model.
        EngineUnavailable: the reference does not work here.
    """
    chosen, model_path = [one for one in examination.engines if one.name in engines], find_model(model)
    jobs = [(one.name, precision) for one in chosen for precision in _precisions(one, examination)]
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "complete": False,
        "model": {"name": examination.model.name, "sha256": file_sha256(model_path)},
        "reference": REFERENCE,
        "unavailable": {
            one.name: _reason(one, examination) for one in chosen if not _precisions(one, examination)
        },
        "runs": {},
        "doctor": examination.as_dict(),
    }
    write(path, data)
    if jobs:
        check_precision(REFERENCE, examination.model, examination.model.precision)
        engine_class(REFERENCE).check(examination.model.precision)
    for name, precision in jobs:
        say(f"{name} {precision}")
        _run(name, precision, model_path, path, say, longest)
    data = read(path) | {"complete": True}
    write(path, data)
    runs: dict[str, Run] = data["runs"]
    return runs


def _precisions(engine: EngineExamination, examination: Examination) -> list[Precision]:
    return [one for one in engine.precisions if engine.works_for(one, examination.model.precision)]


def _reason(engine: EngineExamination, examination: Examination) -> dict[str, str]:
    if not engine.support.works:
        return {"reason": engine.support.reason, "fix": engine.support.fix}
    return {"reason": f"it cannot compute a model stored in {examination.model.precision}", "fix": ""}


def _run(
    name: str, precision: Precision, model: Path, path: Path, say: Callable[[str], None], longest: float
) -> None:
    """Measure in a process of its own; add what it found, and how it ended, to the file.

    The process begins with an empty cache, so that it opens the model once without it and once with it.
    """
    key = f"{name} {precision}"
    start: Run = {"engine": name, "precision": precision, "state": "running", "steps": {}}
    _update(path, key, start)
    module = "baikal_deploy.doctor.smoke.measure"
    arguments = [name, precision, str(model), str(path)]
    command = [sys.executable, "-X", "faulthandler", "-m", module, *arguments]
    with TemporaryDirectory() as cache:
        end = _watched(command, os.environ | {VARIABLE: cache}, say, longest)
    run = read(path)["runs"][key] | end
    _update(path, key, run | {"problems": problems(run)})


def _watched(
    command: list[str], environment: dict[str, str], say: Callable[[str], None], longest: float
) -> Run:
    """Run a process; return how it ended, and the last lines that it printed."""
    log: deque[str] = deque(maxlen=LOG_LINES)
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    timer = Timer(longest, process.kill)
    timer.start()
    try:
        with process:
            for line in process.stdout or ():
                log.append(line.rstrip())
                say(f"  {line.rstrip()}")
    finally:
        in_time = timer.is_alive()
        timer.cancel()
        process.kill()
    state = "ended" if in_time else "timed out"
    return {"state": state, "exit_code": process.returncode, "log": list(log)}


def _update(path: Path, key: str, run: Run) -> None:
    data = read(path)
    data["runs"][key] = run
    write(path, data)
