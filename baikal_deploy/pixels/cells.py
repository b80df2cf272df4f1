"""Pixels in square cells: sums over them, and interpolation between their centres.

They begin at the first pixel of whole planes, so that a part of a plane has the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.pixels.arrays import Raw

CELL = 4
"""Side of the cells, in pixels."""
STRIP_PIXELS = 2**16
"""Pixels of a strip: a few arrays of it stay in a core's cache, and it takes longer than calling NumPy."""
_PLACES = tuple(
    (pixel, int(place), place % 1) for pixel in range(CELL) for place in [(pixel + 0.5) / CELL + 0.5]
)
"""Of each pixel of a cell: itself, the cell in front of it (0: the one before), and how far it is on."""


def strips(shape: tuple[int, ...], span: slice | None = None) -> Iterator[slice]:
    """Rows of planes, in strips that begin at whole cells and stay in a core's cache.

    Large planes take longer to fetch than to compute with, so what is done with them is done strip by strip.

    Args:
        shape: (…, H, W) of all planes.
        span: rows that are to be covered, and no others; None: all.
    """
    *leading, height, width = shape
    start, stop = (0, height) if span is None else (span.start, span.stop)
    rows = max(1, STRIP_PIXELS // max(1, prod(leading) * width * CELL)) * CELL
    for top in range(start - start % CELL, stop, rows):
        yield slice(max(top, start), min(top + rows, stop))


class Scratch:
    """Memory for what is computed of a strip: that of the last one again, which is in the cache already.

    Arguments:
        dtype: of the arrays.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype, self._kept = dtype, dict[str, Raw]()

    def array(self, name: str, shape: tuple[int, ...]) -> Raw:
        """An array of some shape, which holds anything, until it is asked for again by this name."""
        size = prod(shape)
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size, self._dtype)
        return self._kept[name][:size].reshape(shape)


def cells_of(rows: slice) -> slice:
    """Rows of cells that rows of pixels lie in."""
    return slice(rows.start // CELL, -(-rows.stop // CELL))


def cells_in(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape (…, rows of cells, columns of cells) of planes (…, H, W)."""
    *leading, height, width = shape
    return *leading, -(-height // CELL), -(-width // CELL)


def whole_cells(planes: Raw, beyond: Literal["edge", "constant"]) -> Raw:
    """Planes (…, H, W) with whole cells only.

    Args:
        planes: of any sides; those whose sides are multiples of CELL are returned as they are.
        beyond: what is put into the last cells beyond the planes: their last pixels, or 0.
    """
    margins = [-side % CELL for side in planes.shape[-2:]]
    if not any(margins):
        return planes
    return np.pad(
        planes, [*((0, 0) for _ in planes.shape[:-2]), *((0, margin) for margin in margins)], beyond
    )


def cell_sums(planes: Raw) -> Raw:
    """Sums over cells: (…, H, W) -> (…, H/CELL, W/CELL), of the same dtype.

    Args:
        planes: whose sides are multiples of CELL.
    """
    # Adding strided views is several times faster than NumPy's reductions over short axes.
    rows = planes[..., ::CELL, :] + planes[..., 1::CELL, :]
    for row in range(2, CELL):
        rows += planes[..., row::CELL, :]
    return _along_rows(rows)


def cell_products(planes: Raw, others: Raw) -> Raw:
    """Sums over cells of the products of two planes, which are not made first; see ``cell_sums``.

    Args:
        planes, others: of one shape, whose sides are multiples of CELL, and of one dtype.
    """
    *leading, height, width = planes.shape
    apart = (*leading, height // CELL, CELL, width)
    return _along_rows(np.einsum("...krw,...krw->...kw", planes.reshape(apart), others.reshape(apart)))


def _along_rows(rows: Raw) -> Raw:
    total: Raw = rows[..., ::CELL] + rows[..., 1::CELL]
    for column in range(2, CELL):
        total += rows[..., column::CELL]
    return total


def interpolated(cells: Raw) -> Raw:
    """Linear interpolation from the centres of cells to pixels: (h, w) -> (h·CELL, w·CELL)."""
    return between(padded(along_x(cells)))


def along_x(cells: Raw) -> Raw:
    """Linear interpolation along x alone: (…, h, w) -> (…, h, w·CELL)."""
    *leading, width = cells.shape
    pixels = np.empty((*leading, width, CELL), cells.dtype)
    edged = np.concatenate([cells[..., :1], cells, cells[..., -1:]], axis=-1)
    for rows in strips((*leading, width * CELL)):
        own = edged[..., rows, :]
        steps = own[..., 1:] - own[..., :-1]
        for pixel, left, share in _PLACES:
            column = steps[..., left : left + width] * cells.dtype.type(share)
            np.add(column, own[..., left : left + width], out=pixels[..., rows, :, pixel])
    return pixels.reshape(*leading, width * CELL)


def padded(cells: Raw) -> Raw:
    """Cells with the first and the last row twice: (…, h, w) -> (…, h + 2, w); see ``between``."""
    return np.concatenate([cells[..., :1, :], cells, cells[..., -1:, :]], axis=-2)


def between(edged: Raw, out: Raw | None = None) -> Raw:
    """Linear interpolation along y alone, of rows of cells with one more at each end.

    Args:
        edged: (…, h + 2, w); what is before the first cell, the cells, and what is behind the last one.
        out: where the pixels are put; None: a new array.

    Returns:
        (…, h·CELL, w).
    """
    *leading, rows, width = edged.shape
    count = rows - 2
    result = np.empty((*leading, count * CELL, width), edged.dtype) if out is None else out
    steps = edged[..., 1:, :] - edged[..., :-1, :]
    row = np.empty((*leading, count, width), edged.dtype)  # in one piece, unlike those of the result
    for pixel, left, share in _PLACES:
        np.multiply(steps[..., left : left + count, :], edged.dtype.type(share), out=row)
        np.add(row, edged[..., left : left + count, :], out=result[..., pixel::CELL, :])
    return result
