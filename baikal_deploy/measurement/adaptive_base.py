"""The mean intensity around each pixel, from as near as the noise allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import BASE_REACH, BASE_SIGMA, Surroundings
from baikal_deploy.pixels.arrays import Raw, Values
from baikal_deploy.pixels.cells import (
    CELL,
    Scratch,
    cell_products,
    cells_in,
    cells_of,
    strips,
    whole_cells,
)

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Blur along an axis, with the standard deviation of one pixel."""
OWN = float(BINOMIAL[2] ** 2)
"""Weight of the pixel itself in that of both axes."""
REACH = len(BINOMIAL) // 2
ADAPTIVE_REACH = BASE_REACH + REACH + 2 * CELL
"""Pixels that ``AdaptiveBase`` looks around."""
WHOLE = 2.0 ** (4 * REACH)
"""Sum of the weights of both axes as whole numbers: sums of two neighbours, 2·REACH times along each axis.
A power of two, so that nothing is rounded when it is divided out, once for a cell and not for each pixel."""
LEAST_POWER = 1e-12


@dataclass(frozen=True)
class AdaptiveBase:
    """The mean intensity around each pixel, from near it where structure stands out of the noise.

    Where a plane blurred by one pixel differs from its ``base`` by more than noise does, the rest of the
    difference is structure, and as much of it is added (a local Wiener filter: Lee, IEEE Trans. PAMI 2,
    1980).

    Attributes:
        around: the planes' ``base``.
        detail: what the planes blurred by one pixel are more than that, times WHOLE, (N, H, W).
        power: mean square of the detail around each pixel, over what noise adds to it for each unit of
            intensity, and over WHOLE.
        scratch: for what is computed of a strip.
    """

    around: Surroundings
    detail: Raw
    power: Surroundings
    scratch: Scratch

    @classmethod
    def of(cls, planes: Raw, around: Surroundings, noise: float) -> Self:
        """The means around the pixels of planes in which the variance of noise is that of photons.

        Args:
            planes: (N, H, W), finite.
            around: their ``base``.
            noise: variance of the difference of the two blurs that is noise, for each unit of mean intensity.
        """
        detail, power = np.empty_like(planes), np.empty(cells_in(planes.shape), planes.dtype)
        whole, scratch = around.times(WHOLE), Scratch(planes.dtype)
        for rows in strips(planes.shape):
            own = whole.rows(rows, detail[:, rows])
            np.subtract(_near(planes, rows, scratch), own, out=own)
            cells = whole_cells(own, "edge")
            power[:, cells_of(rows)] = cell_products(cells, cells)
        power *= planes.dtype.type(CELL**-2 / (WHOLE * noise))
        np.maximum(power, planes.dtype.type(LEAST_POWER), out=power)
        return cls(around, detail, Surroundings.between_cells(power, planes.shape), scratch)

    def rows(self, rows: slice, floor: float) -> tuple[Raw, Raw]:
        """The means around the pixels of some rows, and the weights of the detail in them.

        Args:
            rows: with a start and a stop.
            floor: intensity below which there is as much noise as there.

        Returns:
            Two arrays (N, rows, W), which hold until the next rows are asked for; the share of the detail
            that is structure is WHOLE times its weight.
        """
        detail, real = self.detail[:, rows], self.detail.dtype.type
        around, weights, power = (
            self.scratch.array(name, detail.shape) for name in ("around", "weights", "power")
        )
        self.around.rows(rows, around)
        # With a single number np.maximum and np.minimum take three times as long as np.clip.
        np.clip(around, real(floor), real(np.inf), out=weights)
        weights /= self.power.rows(rows, power)
        np.clip(weights, real(0), real(1 / WHOLE), out=weights)
        np.subtract(real(1 / WHOLE), weights, out=weights)
        around += np.multiply(weights, detail, out=power)
        return around, weights


def _near(planes: Raw, rows: slice, scratch: Scratch) -> Raw:
    """Some rows of planes, blurred by one pixel, times WHOLE: (N, rows, W).

    Beyond the planes are their last pixels.
    """
    count, height, width = planes.shape
    first, last = max(rows.start - REACH, 0), min(rows.stop + REACH, height)
    blurred = planes[:, first:last]
    margins = REACH - (rows.start - first), REACH - (last - rows.stop)
    if any(margins):
        blurred = np.pad(blurred, [(0, 0), margins, (0, 0)], "edge")
    shape = count, rows.stop - rows.start, width
    # The sum of two neighbours, so many times, has the weights of BINOMIAL.
    for step in range(2 * REACH - 1, 0, -1):
        out = scratch.array(f"y{step % 2}", (count, shape[1] + step, width))
        blurred = np.add(blurred[:, 1:], blurred[:, :-1], out=out)
    wide = scratch.array("x0", (*shape[:2], width + 2 * REACH))
    np.add(blurred[:, 1:], blurred[:, :-1], out=wide[..., REACH:-REACH])
    wide[..., :REACH], wide[..., -REACH:] = wide[..., [REACH]], wide[..., [-REACH - 1]]
    for step in range(2 * REACH - 1, -1, -1):
        out = scratch.array(f"x{step % 2}", (*shape[:2], width + step))
        wide = np.add(wide[..., 1:], wide[..., :-1], out=out)
    return wide


def share_of_noise(noise: NoiseModel) -> float:
    """Variance of noise in the difference of the two blurs, over that of its finest detail."""
    kernel = np.ones((1, 1)) if noise.kernel is None else np.asarray(noise.kernel)
    lines = noise.rows + noise.columns
    own = (kernel * shares_of_lags(len(kernel) // 2)).sum()
    return float(noise.correlation**2 * (own + lines * share_of_lines()) / (1 + lines))


def shares_of_lags(reach: int) -> Values:
    """What each lag of an autocorrelation adds to the variance of the difference of the two blurs.

    Args:
        reach: largest lag; there are 2·reach + 1 along each axis.
    """
    near = np.correlate(BINOMIAL, BINOMIAL, "full")
    squared = np.square(np.mgrid[-reach : reach + 1, -reach : reach + 1]).sum(0)

    def with_base(variance: float) -> Values:
        """A Gaussian of that variance, after the base's own."""
        both = variance + BASE_SIGMA**2
        density: Values = np.exp(-squared / 2 / both) / (2 * np.pi * both)
        return density

    with_itself = np.pad(np.outer(near, near), reach)[
        tuple(slice(2 * REACH, 2 * (reach + REACH) + 1) for _ in "yx")
    ]
    shares: Values = with_itself - 2 * with_base(1) + with_base(BASE_SIGMA**2)
    return shares


def share_of_lines() -> float:
    """The variance for what all pixels of a line share, which the blurs see along one axis alone."""
    wide = BASE_SIGMA**2
    mixed, base_alone = (1 / np.sqrt(2 * np.pi * both) for both in (1 + wide, 2 * wide))
    return float((BINOMIAL**2).sum() - 2 * mixed + base_alone)
