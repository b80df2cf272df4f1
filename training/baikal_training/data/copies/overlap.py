"""How alike two planes are where one would be a copy of the other."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from baikal_deploy.pixels.arrays import Plane
from baikal_training.data.copies.search import Guess
from baikal_training.data.copies.turns import turned

GRID = 160
"""Most points along the shorter side of an overlap that are compared."""
FINE, COARSE = 1.5, 6.0
"""Widths of the Gaussians whose difference is compared, in such points."""
REFINED = (0.95, 0.97, 0.985, 1.0, 1.015, 1.03, 1.05)
"""Factors on the magnification that are tried."""
SHIFT = 0.08
"""Largest further shift, of a side of the overlap."""
SMALLEST_OVERLAP = 48
"""Shorter side of an overlap in pixels of the coarser plane: less shows too little."""
ALIKE = 0.5
"""Least correlation of copies."""


def is_copy(plane: Plane, other: Plane, guess: Guess) -> bool:
    """True if two planes (H, W) show the same where they overlap by a guess."""
    return correlation(plane, other, guess) > ALIKE


def correlation(plane: Plane, other: Plane, guess: Guess) -> float:
    """Correlation of the structure of two planes (H, W) where they overlap by a guess; 0 if nowhere."""
    other = turned(other, guess.turn)
    corners = _overlap(plane.shape, other.shape, guess)
    sides = corners[1] - corners[0]
    if sides.min() < SMALLEST_OVERLAP * max(1.0, 1 / guess.magnification):
        return 0.0
    step = max(1.0, 1 / guess.magnification, sides.min() / GRID)
    middle, count = corners.mean(axis=0), np.floor(sides / step).astype(int)
    here = _spectrum(_band(_sampled(plane, middle, step, count)))
    there = guess.magnification * middle + guess.shift
    found = [
        _highest(
            here, _spectrum(_band(_sampled(other, there, step * guess.magnification * factor, count))), count
        )
        for factor in REFINED
    ]
    return max(found)


def _overlap(plane: tuple[int, ...], other: tuple[int, ...], guess: Guess) -> NDArray[np.float64]:
    """First and last corner of what both show, from the middle of the plane."""
    half, half_other = np.array(plane) / 2, np.array(other) / 2
    first = np.maximum(-half, (-half_other - guess.shift) / guess.magnification)
    last = np.minimum(half, (half_other - guess.shift) / guess.magnification)
    return np.stack([first, last])


def _sampled(plane: Plane, middle: NDArray[np.float64], step: float, count: NDArray[np.int64]) -> Plane:
    """Points of a plane, so many pixels apart, about a place that is told from its middle."""
    smooth = gaussian_filter(plane, 0.5 * step) if step > 1.05 else plane
    first = middle + (np.array(plane.shape) - 1) / 2 - step * (count - 1) / 2
    return np.asarray(
        affine_transform(smooth, [step] * 2, first, output_shape=tuple(count), order=1, mode="nearest")
    )


def _band(plane: Plane) -> Plane:
    band = gaussian_filter(plane, FINE) - gaussian_filter(plane, COARSE)
    return np.asarray(np.clip(band, *np.percentile(band, (0.5, 99.5))))


def _spectrum(band: Plane) -> NDArray[np.complex64]:
    """The spectrum of a plane of mean 0 and power 1, on a larger one."""
    band = band - band.mean()
    band /= max(float(np.linalg.norm(band)), 1e-12)
    shape = [scipy.fft.next_fast_len(side + int(SHIFT * side) + 2, real=True) for side in band.shape]
    spectrum: NDArray[np.complex64] = scipy.fft.rfft2(band, shape)
    return spectrum


def _highest(one: NDArray[np.complex64], two: NDArray[np.complex64], count: NDArray[np.int64]) -> float:
    """The highest correlation over small shifts."""
    shape = [scipy.fft.next_fast_len(int(side) + int(SHIFT * side) + 2, real=True) for side in count]
    surface = scipy.fft.irfft2(one * two.conj(), shape)
    rows, columns = (np.arange(-most, most + 1) for most in (max(int(SHIFT * side), 3) for side in count))
    return float(surface[np.ix_(rows, columns)].max())
