"""An engine beside the reference: what the steps of a smoke run need of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError
from baikal_deploy.host import machine
from baikal_deploy.pixels.arrays import Planes

Shape = tuple[int, int, int]
"""Shape (planes, height, width) of an evaluation."""
REFERENCE = "onnx-cpu"
"""Engine that the others are compared with."""
MOST_SECONDS, MOST_CALLS = 1.0, 10
"""Limits for timing one thing: seconds and calls."""
IN_A_ROW = 5
"""Evaluations that are timed without a wait in between."""


@dataclass(frozen=True)
class Bench:
    """An engine and the reference with the same model.

    Attributes:
        path: of the model.
        options: that the engine was opened with.
    """

    path: Path
    options: EngineOptions
    engine: Engine
    reference: Engine

    def planes(self, shape: Shape, seed: int = 0) -> Planes:
        """Gaussian noise (N, 1, H, W), the sides rounded up to what the network takes."""
        factor = self.engine.manifest.downsampling
        height, width = (-(-side // factor) * factor for side in shape[1:])
        return np.random.default_rng(seed).standard_normal((shape[0], 1, height, width), np.float32)

    def timestep(self, fraction: float) -> float:
        """The timestep 0 … T−1 that lies at a fraction 0 … 1."""
        return fraction * (self.engine.manifest.schedule.num_timesteps - 1)

    def error(self, x: Planes, t: float) -> float | None:
        """Relative error of the engine against the reference; see ``relative_error``."""
        return relative_error(evaluate(self.engine, x, t), evaluate(self.reference, x, t))


def evaluate(engine: Engine, x: Planes, t: float) -> Planes:
    """One evaluation of NumPy planes: eps, and v below it, if there is one."""
    outputs = engine.predict(engine.upload(x), t)
    return np.concatenate([engine.download(output) for output in outputs if output is not None])


def relative_error(found: Planes, expected: Planes) -> float | None:
    """‖found − expected‖ / ‖expected‖; None if anything found is not finite.

    Raises:
        EngineError: they are not of the same shape.
    """
    if found.shape != expected.shape:
        raise EngineError(f"output of shape {found.shape}; {expected.shape} was expected")
    if not np.isfinite(found).all():
        return None
    difference = found.astype(np.float64) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected.astype(np.float64)))


def worst(errors: Iterable[float | None]) -> float | None:
    """The largest error; None, which is worse than any, if there is one."""
    return max(errors, key=lambda error: np.inf if error is None else error)


def median_seconds(call: Callable[[], object]) -> float:
    """Median time in seconds of a call that has been made once before."""
    call()
    seconds: list[float] = []
    while not seconds or (len(seconds) < MOST_CALLS and sum(seconds) < MOST_SECONDS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def seconds_in_a_row(engine: Engine, x: Planes, t: float) -> float:
    """Seconds of an evaluation in a row of many; the download at the end waits for all of them.

    Args:
        engine: it is called once before, as the first call may take longer.
        x: planes (N, 1, H, W).
        t: their timestep.
    """
    on_device = engine.upload(x)
    engine.download(engine.predict(on_device, t)[0])
    started = time.perf_counter()
    for _ in range(IN_A_ROW):
        eps, _ = engine.predict(on_device, t)
    engine.download(eps)
    return (time.perf_counter() - started) / IN_A_ROW


def memory() -> dict[str, Any]:
    """Memory that this process holds, and that all processes take of the GPUs."""
    gpus, _ = machine.nvidia_gpus()
    return {"resident_bytes": machine.resident_bytes(), "gpus_mib": [gpu.memory_used for gpu in gpus]}
