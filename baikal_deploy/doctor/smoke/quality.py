"""A plane denoised by an engine and by the reference, as a run would do it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.windows import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.engines.base import Engine
from baikal_deploy.pixels.arrays import Plane

SAMPLER = "repaint"
"""Sampler of the comparison: in its many evaluations, differences add up."""
SIDE, NUCLEI = 256, 20
BRIGHTNESS, NOISE = 1000.0, 250.0


def denoised(path: Path, engine: Engine, reference: Engine, batch: int) -> dict[str, Any]:
    """Denoise one plane with SAMPLER on both.

    Returns:
        Seconds that each took; ``between_db``, the PSNR between the two results (None: they are
        equal); that of each against the clean plane, and ``lost_db``, the difference of these.
    """
    clean, noisy = nuclei()
    results, seconds = [], []
    for one in (engine, reference):
        started = time.perf_counter()
        # Not closed: that would close the engine, which is not ours.
        denoiser = Denoiser(one, path, DEFAULT_TILE, DEFAULT_OVERLAP, batch, {})
        results.append(denoiser.denoise(noisy, SAMPLER))
        seconds.append(time.perf_counter() - started)
    quality = [psnr(result, clean) for result in results]
    return {
        "sampler": SAMPLER,
        "shape": list(noisy.shape),
        "seconds": seconds[0],
        "reference_seconds": seconds[1],
        "between_db": None if np.array_equal(results[0], results[1]) else psnr(results[0], results[1]),
        "clean_db": quality[0],
        "reference_clean_db": quality[1],
        "lost_db": quality[1] - quality[0],
    }


def nuclei() -> tuple[Plane, Plane]:
    """A clean plane of Gaussian blobs, and the same with noise."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    clean = np.zeros((SIDE, SIDE))
    for y, x in generator.uniform(0, SIDE, (NUCLEI, 2)):
        blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 9**2))
        clean = np.maximum(clean, BRIGHTNESS * blob)
    noisy = clean + NOISE * generator.standard_normal(clean.shape)
    return clean.astype(np.float32), noisy.astype(np.float32)


def psnr(found: Plane, expected: Plane) -> float:
    """Peak signal to noise ratio in dB, for the range of the clean plane."""
    return float(10 * np.log10(BRIGHTNESS**2 / np.mean((found - expected) ** 2, dtype=np.float64)))
