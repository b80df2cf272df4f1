"""What a GPU is for: large planes, large batches, and frames of a camera from end to end."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.doctor.smoke.bench import Bench, Shape, memory, relative_error, seconds_in_a_row
from baikal_deploy.engines import open_engine

LARGE: tuple[Shape, ...] = ((1, 2048, 2048), (16, 512, 512), (64, 256, 256))
"""Planes of a camera in one window, and batches."""
FRAME, FRAMES = 2048, 10
"""Side of a frame in pixels, and how many are denoised one after the other."""
SKIPPED = {"skipped": "for engines on a GPU"}


def large(bench: Bench) -> dict[str, Any]:
    """Time large planes and batches, each with an engine that is opened for them; and the GPU's memory."""
    if bench.engine.device == "CPU":
        return dict(SKIPPED)
    return {"table": [_measured(bench, shape) for shape in LARGE]}


def _measured(bench: Bench, shape: Shape) -> dict[str, Any]:
    x, t = bench.planes(shape), bench.timestep(0.3)
    options = replace(bench.options, batch=shape[0], side=max(shape[1:]))
    before = memory()["gpus_mib"]
    with open_engine(bench.engine.name, bench.path, bench.engine.manifest, options) as engine:
        first = engine.download(engine.predict(engine.upload(x), t)[0])
        seconds = seconds_in_a_row(engine, x, t)
        again = engine.download(engine.predict(engine.upload(x), t)[0])
        return {
            "shape": list(x.shape),
            "seconds_on_device": seconds,
            "megapixels_a_second": x.size / seconds / 1e6,
            "repeated_error": relative_error(again, first),
            "gpus_mib_before": before,
            "gpus_mib": memory()["gpus_mib"],
        }


def frames(bench: Bench) -> dict[str, Any]:
    """Denoise frames of a camera in one evaluation each, from uint16 to uint16, one after the other."""
    if bench.engine.device == "CPU":
        return dict(SKIPPED)
    generator = np.random.default_rng(0)
    pixels = generator.poisson(200, (FRAMES, FRAME, FRAME)).astype(np.uint16)
    name, precision = bench.engine.name, bench.options.precision
    with Denoiser.load(bench.path, name, precision=precision, tile=FRAME) as denoiser:
        sampler = make_sampler("matched", {"evaluations": 1}, {})
        recipe = denoiser.recipe(sampler, denoiser.measure([pixels[0]], sampler), 0)
        seconds = []
        for number, frame in enumerate(pixels):
            started = time.perf_counter()
            denoiser.run(recipe, Stack(frame[None], [number]))
            seconds.append(time.perf_counter() - started)
    rest = seconds[1:]  # the first one warms up
    return {"shape": [FRAME, FRAME], "seconds": seconds, "frames_a_second": len(rest) / sum(rest)}
