"""The mean intensity around each pixel, from as near as the noise allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.signal import correlate2d

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import BASE_REACH, BASE_SIGMA, Surroundings
from baikal_deploy.pixels.arrays import Planes, Values
from baikal_deploy.pixels.cells import CELL, cell_products, cells_in, cells_of, strips, whole_cells

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Blur along an axis, with the standard deviation of one pixel."""
OWN = float(BINOMIAL[2] ** 2)
"""Weight of the pixel itself in that of both axes."""
REACH = len(BINOMIAL) // 2
ADAPTIVE_REACH = BASE_REACH + REACH + 2 * CELL
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

    def rows(self, rows: slice, noise: Callable[[Planes], Planes]) -> tuple[Planes, Planes]:
        """The means around the pixels of some rows, and the shares of the pixels themselves in them.

        Args:
            rows: with a start and a stop.
            noise: variance of the difference of the two blurs that is noise, by the ``base``.

        Returns:
            Two arrays (N, rows, W), float32.
        """
        around = self.around.rows(rows)
        structure = noise(around)
        structure /= self.power.rows(rows)
        np.subtract(1, structure, out=structure)
        np.maximum(structure, 0, out=structure)
        around += structure * self.detail[:, rows]
        structure *= np.float32(OWN)
        return around, structure


def _near(planes: Planes, rows: slice) -> Planes:
    """Some rows of planes, blurred by one pixel: (N, rows, W). Beyond the planes are their last pixels."""
    height = planes.shape[1]
    first, last = max(rows.start - REACH, 0), min(rows.stop + REACH, height)
    margins = REACH - (rows.start - first), REACH - (last - rows.stop)
    blurred = np.pad(planes[:, first:last], [(0, 0), margins, (REACH, REACH)], "edge")
    for _ in range(2 * REACH):  # the sum of two neighbours, so many times, has the weights of BINOMIAL
        blurred = blurred[:, 1:] + blurred[:, :-1]
    for _ in range(2 * REACH):
        blurred = blurred[..., 1:] + blurred[..., :-1]
    near: Planes = blurred * np.float32(2.0 ** (-4 * REACH))
    return near


def share_of_noise(noise: NoiseModel) -> float:
    """Variance of noise in the difference of the two blurs, over that of its finest detail."""
    near = np.outer(BINOMIAL, BINOMIAL)
    kernel = np.ones((1, 1)) if noise.kernel is None else np.asarray(noise.kernel)
    lags = kernel.shape[0] // 2
    squared = np.square(np.mgrid[-lags : lags + 1, -lags : lags + 1]).sum(0)

    def with_base(variance: float) -> Values:
        """A Gaussian of that variance, after the base's own."""
        both = variance + BASE_SIGMA**2
        density: Values = np.exp(-squared / 2 / both) / (2 * np.pi * both)
        return density

    with_itself = np.pad(correlate2d(near, near), lags)[
        tuple(slice(2 * REACH, 2 * (lags + REACH) + 1) for _ in "yx")
    ]
    response = with_itself - 2 * with_base(1) + with_base(BASE_SIGMA**2)
    lines = noise.rows + noise.columns
    share = ((kernel * response).sum() + lines * _share_of_lines()) / (1 + lines)
    return float(noise.correlation**2 * share)


def _share_of_lines() -> float:
    """The same for what all pixels of a line share, which the blurs see along one axis alone."""
    wide = BASE_SIGMA**2
    mixed, base_alone = (1 / np.sqrt(2 * np.pi * both) for both in (1 + wide, 2 * wide))
    return float((BINOMIAL**2).sum() - 2 * mixed + base_alone)
