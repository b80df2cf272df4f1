"""The blur that tells a pixel's surroundings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.pixels.arrays import Raw, Values
from baikal_deploy.pixels.cells import (
    CELL,
    along_x,
    between,
    cell_sums,
    cells_in,
    cells_of,
    padded,
    strips,
    whole_cells,
)

BASE_SIGMA = 4.0
"""Sigma of the blur, in pixels, that tells the noise of a pixel's surroundings."""
CELL_SIGMA = math.sqrt(BASE_SIGMA**2 - (CELL**2 - 1) / 12 - CELL**2 / 6) / CELL
"""Sigma of the Gaussian, in cells: a mean over a cell and linear interpolation add variances to its own."""
CUT = 3
"""Standard deviations at which the Gaussian is cut off."""
BASE_REACH = CELL * (int(CUT * CELL_SIGMA + 0.5) + 2)
"""Pixels that the blur looks around."""
_GAUSSIAN = np.exp(-0.5 * (np.arange(int(CUT * CELL_SIGMA + 0.5) + 1) / CELL_SIGMA) ** 2)
_WEIGHTS = _GAUSSIAN / (2 * _GAUSSIAN.sum() - 1)
"""Weights of a cell, and of those on both sides at each distance from it."""


@dataclass(frozen=True)
class Surroundings:
    """The mean intensity around each pixel of some planes, told row by row where it is needed.

    A Gaussian of BASE_SIGMA pixels, computed on cells in a fraction of the time: the cells' means and the
    interpolation between them blur as well, and the Gaussian does the rest.

    Attributes:
        shape: (…, H, W) of the planes.
        means: around the cells, interpolated along x; with a row at each end: (…, rows of cells + 2, W).
    """

    shape: tuple[int, ...]
    means: Raw

    @classmethod
    def of(cls, planes: Raw) -> Self:
        """The surroundings of planes.

        Args:
            planes: (…, H, W), finite, of a real dtype.
        """
        sums = np.empty(cells_in(planes.shape), planes.dtype)
        for rows in strips(planes.shape):
            sums[..., cells_of(rows), :] = cell_sums(whole_cells(planes[..., rows, :], "edge"))
        return cls.of_cells(sums, planes.shape)

    @classmethod
    def of_cells(cls, sums: Raw, shape: tuple[int, ...]) -> Self:
        """The surroundings of planes of which sums over the cells are known.

        Args:
            sums: (…, rows of cells, columns of cells), which are used up.
            shape: (…, H, W) of the planes.
        """
        sums *= sums.dtype.type(CELL**-2)
        smooth = _blurred(_blurred(sums).swapaxes(-1, -2)).swapaxes(-1, -2)
        return cls.between_cells(np.ascontiguousarray(smooth), shape)

    @classmethod
    def between_cells(cls, means: Raw, shape: tuple[int, ...]) -> Self:
        """The surroundings that lie between some means over cells, which are half as wide as those of ``of``.

        Args:
            means: (…, rows of cells, columns of cells).
            shape: (…, H, W) of the planes.
        """
        return cls(shape, padded(along_x(means)[..., : shape[-1]]))

    def times(self, factor: float) -> Self:
        """The same, of planes that are ``factor`` times as bright."""
        return replace(self, means=self.means * self.means.dtype.type(factor))

    def rows(self, rows: slice, out: Raw | None = None) -> NDArray[Any]:
        """The mean intensity around the pixels of some rows: (…, rows, W).

        Args:
            rows: with a start and a stop.
            out: where it is put; None: a new array.
        """
        cells, edged = cells_of(rows), self.means[..., cells_of(rows).start : cells_of(rows).stop + 2, :]
        if out is not None and not (rows.start % CELL or rows.stop % CELL):
            return between(edged, out)
        first = cells.start * CELL
        around = between(edged)[..., rows.start - first : rows.stop - first, :]
        if out is None:
            return around
        out[...] = around
        return out


def base(plane: Raw) -> NDArray[Any]:
    """The mean intensity around each pixel: (H, W) -> (H, W), of the same dtype; see ``Surroundings``."""
    return Surroundings.of(plane).rows(slice(0, len(plane)))


def _blurred(cells: Raw) -> Raw:
    """Cells blurred along y by the Gaussian, and reflected at their edges."""
    count, reach = cells.shape[-2], len(_WEIGHTS) - 1
    edged = np.pad(cells, [*((0, 0) for _ in cells.shape[:-2]), (reach, reach), (0, 0)], "symmetric")
    centre = edged[..., reach : reach + count, :]
    result: Raw = centre * cells.dtype.type(_WEIGHTS[0])
    for step in range(1, reach + 1):
        pair = edged[..., reach - step :, :][..., :count, :] + edged[..., reach + step :, :][..., :count, :]
        pair *= cells.dtype.type(_WEIGHTS[step])
        result += pair
    return result


SMALL = 1e-3
"""Share of known pixels around one beside which the typical intensity counts as much."""


def known_base(plane: Raw, typical: float | None = None) -> Values:
    """The mean intensity around each pixel of what is known there: (H, W) -> (H, W), float64.

    Args:
        plane: with NaN where nothing is known; without any this is ``base``.
        typical: intensity where nothing is known far around; None: the mean of the plane.
    """
    values = plane.astype(np.float64)
    unknown = np.isnan(values)
    if not unknown.any():
        return base(values)
    if typical is None:
        typical = 0.0 if unknown.all() else float(values[~unknown].mean())
    share = base((~unknown).astype(np.float64))
    around: Values = base(np.where(unknown, 0, values - typical)) / (share + SMALL) + typical
    return around


def filled_in(plane: Raw, unknown: NDArray[np.bool_], typical: float) -> Raw:
    """A plane whose unknown pixels have the mean intensity around them, and so no edge.

    Args:
        plane: (H, W).
        unknown: its pixels that say nothing.
        typical: intensity far from any other.
    """
    around = known_base(np.where(unknown, np.nan, plane), typical)
    return np.where(unknown, around, plane).astype(np.result_type(plane, np.float32))
