"""The spectrum of noise: how strong it is at every frequency, by its autocovariance.

Noise is described by the covariance of two pixels at every distance up to REACH, and by what all pixels of
a row, or of a column, share (scanners, cameras with an amplifier for each row). Its Fourier transform is S,
the variance of each orthonormal Fourier coefficient: white noise of standard deviation σ has S = σ².
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.noise_model import Kernel
from baikal_deploy.pixels.arrays import Values

REACH = 12
"""Largest distance, in pixels, at which pixels that do not lie in one line are taken to be correlated."""
LINE_REACH = 64
"""Distance, in pixels, up to which what a line of pixels shares is followed."""
SIDE = 256
"""Side of the grid of frequencies, in pixels: more than twice LINE_REACH."""


@dataclass(frozen=True)
class Spectrum:
    """Spectrum of a stationary noise.

    Attributes:
        variance: of the noise without what lines share, in any unit squared.
        kernel: autocorrelation of that part, 1 in the centre; of odd sides.
        rows, columns: variance of what the pixels of a row, of a column, share, over ``variance``.
    """

    variance: float
    kernel: Kernel
    rows: float = 0.0
    columns: float = 0.0

    @classmethod
    def white(cls, std: float) -> Self:
        """Spectrum of white noise of a standard deviation."""
        return cls(std**2, ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)))

    @property
    def is_white(self) -> bool:
        return not self.has_lines and float(np.abs(self.kernel).sum()) == 1

    @property
    def reach(self) -> int:
        """Largest distance, in pixels, at which pixels share noise."""
        return LINE_REACH if self.has_lines else len(self.kernel) // 2

    @property
    def std(self) -> float:
        """Standard deviation of the noise, all together."""
        return math.sqrt(self.variance * (1 + self.rows + self.columns))

    @property
    def has_lines(self) -> bool:
        return self.rows > 0 or self.columns > 0

    def scaled(self, factor: float) -> Self:
        """The spectrum of the noise times a factor."""
        return replace(self, variance=self.variance * factor**2)

    def covariance(self, reach: int) -> Values:
        """Covariance at each distance up to ``reach``: (2·reach + 1, 2·reach + 1).

        Args:
            reach: in pixels; what lines share falls to 0 there.
        """
        values = np.asarray(self.kernel)
        own = min(len(values) // 2, reach)
        middle = slice(len(values) // 2 - own, len(values) // 2 + own + 1)
        total = np.pad(values[middle, middle], reach - own)
        line = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)  # whose spectrum is nowhere negative
        total[reach] += self.rows * line
        total[:, reach] += self.columns * line
        return self.variance * total

    def power(self) -> Values:
        """S on a grid of frequencies, (SIDE, SIDE), as ``np.fft.fft2`` orders them."""
        return _power(self)

    def of_means(self, side: int) -> float:
        """Variance of the mean of a square of ``side``² pixels.

        Args:
            side: in pixels.
        """
        reach = side - 1
        share = 1 - np.abs(np.arange(-reach, side)) / side
        own = replace(self, rows=0.0, columns=0.0).covariance(reach)
        lines = self.variance * (self.rows + self.columns) / side
        return float((own * np.outer(share, share)).sum()) / side**2 + lines


@lru_cache(maxsize=32)
def _power(spectrum: Spectrum) -> Values:
    power = power_of(spectrum.covariance(spectrum.reach), (SIDE, SIDE))
    power.flags.writeable = False
    return power


def power_of(covariance: Values, shape: tuple[int, int]) -> Values:
    """Power spectrum of an autocovariance of odd sides, on a grid of frequencies; nowhere negative.

    Args:
        covariance: the centre is distance 0.
        shape: of the grid.
    """
    grid = np.zeros(shape)
    rows, columns = (np.arange(side) - side // 2 for side in covariance.shape)
    grid[np.ix_(rows % shape[0], columns % shape[1])] = covariance
    return np.maximum(np.fft.fft2(grid).real, 0)


def covariance_of(power: Values, reach: int) -> Values:
    """The inverse of ``power_of``, up to a distance."""
    near = np.arange(-reach, reach + 1)
    found: Values = np.fft.ifft2(power).real[np.ix_(near, near)]
    return found


def autocovariance(
    planes: Sequence[Values], masks: Sequence[NDArray[np.bool_]], reach: tuple[int, int] = (REACH, REACH)
) -> tuple[Values, Values]:
    """Mean product of masked pixels at each distance, and the number of pairs that it is the mean of.

    Args:
        planes: (H, W) each, less their mean; what lies outside of the mask may be anything.
        masks: (H, W) each.
        reach: largest distance along y, and along x.

    Returns:
        Two arrays (2·reach + 1, 2·reach + 1), symmetric; 0 where there are no pairs.
    """
    total, count = np.zeros((2, 2 * reach[0] + 1, 2 * reach[1] + 1))
    for plane, mask in zip(planes, masks, strict=True):
        if mask.any():
            total += _products(np.where(mask, plane - plane[mask].mean(), 0), reach)
            count += np.rint(_products(mask.astype(np.float64), reach))
    return total / np.maximum(count, 1), count


def _products(plane: Values, reach: tuple[int, int]) -> Values:
    """Sum of the products of all pixels at each distance (Wiener–Khinchin), padded so that none wraps."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    shape = [next_fast_len(side + far, real=True) for side, far in zip(plane.shape, reach, strict=True)]
    products = irfft2(np.abs(rfft2(plane, shape)) ** 2, shape)
    near = [np.arange(-far, far + 1) for far in reach]
    sums: Values = products[np.ix_(*near)]
    return sums


def tapered(covariance: Values) -> Values:
    """An autocovariance that falls to 0 where its array ends: there is least to tell it by."""
    reach = len(covariance) // 2
    axis = np.arange(-reach, reach + 1)
    distance = np.hypot(*np.meshgrid(axis, axis)) / (reach + 1)
    tapered: Values = covariance * np.cos(np.minimum(distance, 1) * np.pi / 2)
    return tapered


def total_std(kernel: Kernel) -> float:
    """Standard deviation of noise over that of its finest detail, by its autocorrelation."""
    return 1 / math.sqrt(fine_variance(np.asarray(kernel)))


def fine_variance(values: Values) -> float:
    """Variance of the diagonal Haar detail (a − b − c + d)/2 of noise with an autocovariance."""
    centre = len(values) // 2
    same, below = values[centre, centre:], values[centre + 1, centre - 1 :]
    return float(same[0] - same[1] - below[1] + (below[0] + below[2]) / 2)


def check_kernel(kernel: Kernel) -> None:
    """Check an autocorrelation that somebody else made.

    Raises:
        ConfigError: it cannot be the autocorrelation of noise.
    """
    side = len(kernel)
    square = side % 2 == 1 and 3 <= side <= 2 * REACH + 1 and {len(row) for row in kernel} == {side}
    values = np.asarray(kernel) if square else np.zeros((3, 3))
    if not (np.abs(values) <= 1).all() or values[len(values) // 2, len(values) // 2] != 1:
        raise ConfigError(
            f"noise_correlation: must be as many rows as columns, an odd number of up to {2 * REACH + 1}, "
            "with numbers within −1 … 1, and 1 in the centre"
        )
    if (values != values[::-1, ::-1]).any() or not fine_variance(values) > 0:
        raise ConfigError("noise_correlation: no noise has this autocorrelation; export the model again")
