"""Pixels in square cells: sums over them, and interpolation between their centres.

They begin at the first pixel of whole planes, so that a part of a plane has the same ones.
"""

from __future__ import annotations

import numpy as np

from baikal_deploy.pixels.arrays import Raw

CELL = 4
"""Side of the cells, in pixels."""


def cell_sums(planes: Raw) -> Raw:
    """Sums over cells: (…, H, W) -> (…, H/CELL, W/CELL), of the same dtype.

    Args:
        planes: whose sides are multiples of CELL.
    """
    # Adding strided views is several times faster than NumPy's reductions over short axes.
    rows = sum((planes[..., row::CELL, :] for row in range(1, CELL)), planes[..., ::CELL, :])
    total: Raw = sum((rows[..., column::CELL] for column in range(1, CELL)), rows[..., ::CELL])
    return total


def interpolated(cells: Raw) -> Raw:
    """Linear interpolation from the centres of cells to pixels: (h, w) -> (h·CELL, w·CELL)."""
    return _along(_along(cells, 1), 0)


def _along(cells: Raw, axis: int) -> Raw:
    first, last = (cells.take([end], axis) for end in (0, -1))
    padded = np.moveaxis(np.concatenate([first, cells, last], axis), axis, 0)
    shape, count = list(cells.shape), cells.shape[axis]
    shape[axis] *= CELL
    pixels = np.empty(shape, cells.dtype)
    for pixel in range(CELL):
        place = (pixel + 0.5) / CELL + 0.5  # between a cell and the next, or the one before
        left, share = int(place), cells.dtype.type(place % 1)
        before, after = (padded[left + step :][:count] for step in (0, 1))
        np.moveaxis(pixels, axis, 0)[pixel::CELL] = before + share * (after - before)
    return pixels
