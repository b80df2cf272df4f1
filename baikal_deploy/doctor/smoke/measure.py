"""One engine against the reference, in a process of its own; what each step finds is written at once.

``python -m baikal_deploy.doctor.smoke.measure ENGINE PRECISION MODEL FILE.json`` is what ``smoke`` starts.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from baikal_deploy.doctor.smoke.bench import REFERENCE, Bench, memory
from baikal_deploy.doctor.smoke.findings import read, write
from baikal_deploy.doctor.smoke.steps import BATCH, SIDE, STEPS, Step
from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.models.manifest import Precision, read_manifest


def measure(name: str, precision: Precision, path: Path, record: Callable[[str, Step], None]) -> None:
    """Take all steps. One that fails leaves an ``error``, and the next one follows.

    Args:
        name: of the engine.
        precision: that it computes in.
        path: of the model.
        record: called after each step with its name and what it found.
    """
    manifest = read_manifest(path)
    options = EngineOptions(precision=precision, batch=BATCH, side=SIDE)
    before, started = memory(), time.perf_counter()
    try:
        engine = open_engine(name, path, manifest, options)
    except Exception as error:
        record("open", _failure(error))
        return
    seconds = time.perf_counter() - started
    about = {"version": engine.version(), "device": engine.device, "precision": engine.precision}
    record("open", {"seconds": seconds, **about, "before": before, "after": memory()})
    as_stored = EngineOptions(precision=manifest.precision)
    with open_engine(REFERENCE, path, manifest, as_stored) as reference:
        bench = Bench(path, options, engine, reference)
        for step, take in STEPS.items():
            try:
                found = take(bench)
            except Exception as error:
                found = _failure(error)
            record(step, found)


def _failure(error: Exception) -> Step:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return {"error": text, "traceback": traceback.format_exc()}


def main() -> None:
    name, precision, model, output = sys.argv[1:]
    path = Path(output)
    (chosen,) = (one for one in get_args(Precision) if one == precision)

    def record(step: str, found: Step) -> None:
        data = read(path)
        data["runs"][f"{name} {precision}"]["steps"][step] = found
        write(path, data)
        print(f"{step}: {found.get('error', 'done')}", flush=True)

    measure(name, chosen, Path(model), record)


if __name__ == "__main__":
    main()
