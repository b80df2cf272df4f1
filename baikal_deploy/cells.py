"""Planes in square cells: sums over them, and interpolation between their centres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[Any]
"""(…, H, W)."""


def cell_sums(planes: Planes, side: int) -> Planes:
    """Sums over cells of side² pixels: (…, H, W) -> (…, H/side, W/side), of the same dtype.

    Args:
        planes: whose sides are multiples of ``side``.
    """
    # Adding strided views is several times faster than NumPy's reductions over short axes.
    rows = sum((planes[..., row::side, :] for row in range(1, side)), planes[..., ::side, :])
    total: Planes = sum((rows[..., column::side] for column in range(1, side)), rows[..., ::side])
    return total


def interpolated(cells: Planes, side: int) -> Planes:
    """Linear interpolation from the centres of cells to pixels: (h, w) -> (h·side, w·side)."""
    return _along(_along(cells, 1, side), 0, side)


def _along(cells: Planes, axis: int, side: int) -> Planes:
    first, last = (cells.take([end], axis) for end in (0, -1))
    padded = np.moveaxis(np.concatenate([first, cells, last], axis), axis, 0)
    shape, count = list(cells.shape), cells.shape[axis]
    shape[axis] *= side
    pixels = np.empty(shape, cells.dtype)
    for pixel in range(side):
        place = (pixel + 0.5) / side + 0.5  # between a cell and the next, or the one before
        left, share = int(place), cells.dtype.type(place % 1)
        before, after = (padded[left + step :][:count] for step in (0, 1))
        np.moveaxis(pixels, axis, 0)[pixel::side] = before + share * (after - before)
    return pixels
