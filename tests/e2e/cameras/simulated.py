"""A plane as a camera sees it, what may be wrong with it, and how well the rest is denoised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.denoiser import Denoiser

SIDE = 192
RANGE = 120.0
"""Counts of the brightest blob above the offset."""
OFFSET = 100.0
LOST = 1.5
"""Most that the other pixels may lose, in dB."""


def blobs(shape: tuple[int, int] = (SIDE, SIDE), seed: int = 3) -> NDArray[np.float64]:
    """Smooth blobs like nuclei, 0 … 1, on an empty background."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    image = np.zeros(shape)
    for _ in range(shape[0] * shape[1] // 1600):
        centre, radii = random.uniform(0, shape), random.uniform(7, 13, 2)
        distance = np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1])
        image = np.maximum(image, random.uniform(0.4, 1) / (1 + np.exp(6 * (distance - 1))))
    return image


@dataclass(frozen=True)
class Seen:
    """What a camera saw: counts, and their mean."""

    counts: NDArray[Any]
    truth: NDArray[np.float64]

    @property
    def rounded(self) -> NDArray[np.uint16]:
        return np.clip(np.rint(self.counts), 0, 65535).astype(np.uint16)


def seen(clean: NDArray[np.float64], seed: int = 4) -> Seen:
    """An exposure: at most 60 photons for each blob, gain 2, read noise 4."""
    random = np.random.default_rng(seed)
    counts = random.poisson(clean * 60) * 2 + OFFSET + random.normal(0, 4, clean.shape)
    return Seen(counts, clean * RANGE + OFFSET)


def denoised(denoiser: Denoiser, counts: NDArray[Any], **options: Any) -> NDArray[Any]:
    """Counts denoised with one evaluation of the network."""
    return denoiser.denoise(counts, "matched", symmetries=1, **options)


def psnr(result: NDArray[Any], truth: NDArray[np.float64], where: NDArray[np.bool_]) -> float:
    """PSNR of some pixels, in dB, for the range of the blobs."""
    error = (result.astype(np.float64) - truth)[where]
    return float(10 * np.log10(RANGE**2 / np.mean(error**2)))
