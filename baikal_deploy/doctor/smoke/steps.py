"""The steps of a smoke run: each looks at one thing that an engine promises.

Several find a ``relative_error``, which is judged by what the engine computes in
(``findings.TOLERANCE``); the rest is judged by its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from baikal_deploy.denoising.windows import DEFAULT_TILE
from baikal_deploy.doctor.smoke import quality
from baikal_deploy.doctor.smoke.bench import (
    Bench,
    Shape,
    evaluate,
    median_seconds,
    memory,
    relative_error,
    seconds_in_a_row,
    worst,
)
from baikal_deploy.doctor.smoke.large import frames, large
from baikal_deploy.engines import open_engine
from baikal_deploy.errors import ShapeOutsideProfile
from baikal_deploy.pixels.arrays import Planes

BATCH, SIDE = 2, DEFAULT_TILE
"""Largest batch, and side in pixels, that the engine is opened for."""
SMALL: Shape = (1, 64, 64)
SHAPES: tuple[Shape, ...] = (SMALL, (1, 128, 192), (BATCH, 256, 256), (1, SIDE, SIDE))
FRESH: Shape = (1, 96, 64)
BEYOND: tuple[Shape, ...] = ((BATCH + 1, 64, 64), (1, SIDE + 64, 64))
TIMED: tuple[Shape, ...] = ((1, 256, 256), (1, SIDE, SIDE), (BATCH, SIDE, SIDE))
TIMESTEPS = (0.0, 0.0405, 0.5, 1.0)
"""Timesteps as fractions of the last one; the second is fractional in most schedules."""
MANY, THREADS = 300, 8

Step = dict[str, Any]


def agreement(bench: Bench) -> Step:
    """Compare the engine with the reference, at several shapes and timesteps."""
    table: list[Step] = []
    for x in map(bench.planes, SHAPES):
        for t in map(bench.timestep, TIMESTEPS):
            table.append({"shape": list(x.shape), "t": t, "relative_error": bench.error(x, t)})
    return {"relative_error": worst(row["relative_error"] for row in table), "table": table}


def repeated(bench: Bench) -> Step:
    """Make the same call four times, at a shape that is new to the engine, with one of another between them.

    An engine may do something else at the first, the second and the later calls: compile, capture a
    CUDA graph, and launch it.
    """
    x, t = bench.planes(FRESH), bench.timestep(0.3)
    found = [evaluate(bench.engine, x, t) for _ in range(3)]
    evaluate(bench.engine, bench.planes(SMALL), t)
    found.append(evaluate(bench.engine, x, t))
    return {
        "same_bits": all(np.array_equal(found[0], other) for other in found),
        "relative_error": worst(relative_error(other, found[0]) for other in found),
    }


def threads(bench: Bench) -> Step:
    """Let threads share the engine, each with other planes, against one call after the other."""
    count = 4 * THREADS
    calls = [(bench.planes(SHAPES[i % 2], seed=i), bench.timestep(i / count)) for i in range(count)]
    expected = [evaluate(bench.engine, *call) for call in calls]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda call: evaluate(bench.engine, *call), calls))
    return {"threads": THREADS, "relative_error": worst(map(relative_error, found, expected))}


def beyond(bench: Bench) -> Step:
    """Try shapes that the engine was not opened for: refused in words, or computed well."""
    refusals: list[str] = []
    errors: list[float | None] = [0.0]
    for x in map(bench.planes, BEYOND):
        try:
            errors.append(bench.error(x, bench.timestep(0.3)))
        except ShapeOutsideProfile as refusal:
            refusals.append(str(refusal))
    return {"refused": refusals, "relative_error": worst(errors)}


def timing(bench: Bench) -> Step:
    """Measure seconds of an evaluation: with the way to the device and back, and of many that stay there."""
    return {"table": [_timed(bench, bench.planes(shape), bench.timestep(0.3)) for shape in TIMED]}


def _timed(bench: Bench, x: Planes, t: float) -> Step:
    return {
        "shape": list(x.shape),
        "seconds": median_seconds(lambda: evaluate(bench.engine, x, t)),
        "seconds_on_device": seconds_in_a_row(bench.engine, x, t),
        "reference_seconds": median_seconds(lambda: evaluate(bench.reference, x, t)),
    }


def many_calls(bench: Bench) -> Step:
    """Compare memory before and after many calls; the calls before that settle what is allocated once."""
    x, t = bench.planes(SMALL), bench.timestep(0.3)
    _call(bench, x, t, MANY // 10)
    before = memory()
    _call(bench, x, t, MANY)
    after = memory()
    known = before["resident_bytes"] is not None
    grown = after["resident_bytes"] - before["resident_bytes"] if known else None
    return {"calls": MANY, "grown_bytes": grown, "before": before, "after": after}


def _call(bench: Bench, x: Planes, t: float, count: int) -> None:
    for _ in range(count):
        evaluate(bench.engine, x, t)


def denoised(bench: Bench) -> Step:
    """Denoise a plane with the default sampler, as a run would do it."""
    return quality.denoised(bench.path, bench.engine, bench.reference, BATCH)


def reopened(bench: Bench) -> Step:
    """Close and open again, from the cache where there is one; the engine stays closed."""
    x, t = bench.planes(SMALL), bench.timestep(0.3)
    expected = evaluate(bench.engine, x, t)
    bench.engine.close()
    closed, started = memory(), time.perf_counter()
    with open_engine(bench.engine.name, bench.path, bench.engine.manifest, bench.options) as again:
        seconds = time.perf_counter() - started
        error = relative_error(evaluate(again, x, t), expected)
    return {"seconds": seconds, "relative_error": error, "memory": closed}


STEPS: dict[str, Callable[[Bench], Step]] = {
    "agreement": agreement,
    "repeated": repeated,
    "threads": threads,
    "beyond": beyond,
    "timing": timing,
    "large": large,
    "frames": frames,
    "many calls": many_calls,
    "denoised": denoised,
    "reopened": reopened,
}
