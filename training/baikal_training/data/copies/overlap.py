"""How alike two planes are where one would be a copy of the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
CERTAIN = ((5, 0.87, 8.5), (7, 0.75, 8.5), (10, 0.45, 14.0))
"""Keypoints that fit, correlation and prominence from which on planes are copies: one of the three is enough.

Images of few objects, or of fibres, also fit where they are no copies; noisy copies are less alike.
"""


@dataclass(frozen=True)
class Likeness:
    """How alike two planes are.

    Attributes:
        support: keypoints that fit.
        correlation: of their structure where they overlap, -1 … 1.
        prominence: the same, divided by its standard deviation over all shifts.
    """

    support: int
    correlation: float
    prominence: float

    @property
    def is_copy(self) -> bool:
        """True if that is not by chance."""
        found = self.support, self.correlation, self.prominence
        return any(all(is_ >= least for is_, least in zip(found, limits, strict=True)) for limits in CERTAIN)


def likeness(plane: Plane, other: Plane, guess: Guess) -> Likeness:
    """How alike two planes (H, W) are where they overlap by a guess; not at all if they do so too little."""
    other = turned(other, guess.turn)
    corners = _overlap(plane.shape, other.shape, guess)
    sides = corners[1] - corners[0]
    if sides.min() < SMALLEST_OVERLAP * max(1.0, 1 / guess.magnification):
        return Likeness(guess.support, 0.0, 0.0)
    step = max(1.0, 1 / guess.magnification, sides.min() / GRID)
    middle, count = corners.mean(axis=0), np.floor(sides / step).astype(int)
    here = _spectrum(_band(_sampled(plane, middle, step, count)))
    there = guess.magnification * middle + guess.shift
    steps = [step * guess.magnification * factor for factor in REFINED]
    found = [_compared(here, _spectrum(_band(_sampled(other, there, step, count))), count) for step in steps]
    return Likeness(guess.support, *max(found))


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
    spectrum: NDArray[np.complex64] = scipy.fft.rfft2(band, _room(band.shape))
    return spectrum


def _room(sides: Iterable[int]) -> list[int]:
    """Sides of a plane in which another can be shifted without meeting itself."""
    return [scipy.fft.next_fast_len(int(side) + int(SHIFT * side) + 4, real=True) for side in sides]


def _compared(
    one: NDArray[np.complex64], two: NDArray[np.complex64], count: NDArray[np.int64]
) -> tuple[float, float]:
    """The highest correlation over small shifts, and its prominence."""
    surface = scipy.fft.irfft2(one * two.conj(), _room(count))
    rows, columns = (np.arange(-most, most + 1) for most in (max(int(SHIFT * side), 3) for side in count))
    highest = float(surface[np.ix_(rows, columns)].max())
    return highest, highest / max(float(surface.std()), 1e-12)
