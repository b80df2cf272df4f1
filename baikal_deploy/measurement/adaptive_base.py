"""The mean intensity around each pixel, from as near as the noise allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import BASE_REACH, BASE_SIGMA, Surroundings
from baikal_deploy.pixels.arrays import Planes, Values
from baikal_deploy.pixels.cells import CELL, cell_products, cells_in, cells_of, strips, whole_cells

NEAR = 2
"""Pixels on each side that the narrow blur takes: by 1, 4, 6, 4, 1, whose standard deviation is one pixel."""
ADAPTIVE_REACH = BASE_REACH + NEAR + 2 * CELL
"""Pixels that ``AdaptiveBase`` looks around."""
LEAST_POWER = np.float32(1e-12)


@dataclass(frozen=True)
class AdaptiveBase:
    """The mean intensity around each pixel, from near it where structure stands out of the noise.

    Where a plane blurred by one pixel differs from its ``base`` by more than noise does, the rest of the
    difference is structure, and as much of it is added (a local Wiener filter: Lee, IEEE Trans. PAMI 2,
    1980).

    Attributes:
        around: the planes' ``base``.
        detail: what the planes blurred by one pixel are more than that, (N, H, W).
        power: mean square of the detail around each pixel.
    """

    around: Surroundings
    detail: Planes
    power: Surroundings

    @classmethod
    def of(cls, planes: Planes, detail: Planes) -> Self:
        """The means around the pixels of planes.

        Args:
            planes: (N, H, W), finite.
            detail: (N, H, W), where the detail is put.
        """
        around, power = Surroundings.of(planes), np.empty(cells_in(planes.shape), np.float32)
        for rows in strips(planes.shape):
            np.subtract(_near(planes, rows), around.rows(rows), out=detail[:, rows])
            whole = whole_cells(detail[:, rows], "edge")
            power[:, cells_of(rows)] = cell_products(whole, whole)
        power *= np.float32(CELL**-2)
        np.maximum(power, LEAST_POWER, out=power)
        return cls(around, detail, Surroundings.between_cells(power, planes.shape))

    def rows(self, rows: slice, noise: Callable[[Planes], Planes]) -> Planes:
        """The means around the pixels of some rows, (N, rows, W), float32.

        Args:
            rows: with a start and a stop.
            noise: variance of the difference of the two blurs that is noise, by the ``base``.
        """
        around = self.around.rows(rows)
        share = noise(around)
        share /= self.power.rows(rows)
        np.subtract(1, share, out=share)
        np.maximum(share, 0, out=share)
        share *= self.detail[:, rows]
        share += around
        return share


def _near(planes: Planes, rows: slice) -> Planes:
    """Some rows of planes, blurred by one pixel: (N, rows, W). Beyond the planes are their last pixels."""
    height = planes.shape[1]
    first, last = max(rows.start - NEAR, 0), min(rows.stop + NEAR, height)
    margins = NEAR - (rows.start - first), NEAR - (last - rows.stop)
    blurred = np.pad(planes[:, first:last], [(0, 0), margins, (NEAR, NEAR)], "edge")
    for _ in range(2 * NEAR):  # the sum of two neighbours, so many times, has these weights
        blurred = blurred[:, 1:] + blurred[:, :-1]
    for _ in range(2 * NEAR):
        blurred = blurred[..., 1:] + blurred[..., :-1]
    blurred *= np.float32(2.0 ** (-4 * NEAR))
    return blurred


def share_of_noise(noise: NoiseModel) -> float:
    """Variance of noise in the difference of the two blurs, over that of its finest detail."""
    kernel = np.ones((1, 1)) if noise.kernel is None else np.asarray(noise.kernel)
    y, x = (np.arange(side) - side // 2 for side in kernel.shape)
    squared = (y**2)[:, None] + x**2

    def both(variance: float) -> Values:
        """Two Gaussians, one after the other, that have the sum of their variances."""
        return np.exp(-squared / 2 / variance) / (2 * np.pi * variance)

    wide = BASE_SIGMA**2
    response = both(1 + 1) - 2 * both(1 + wide) + both(2 * wide)
    return float(noise.correlation**2 * (kernel * response).sum())
