"""The guard: where a result contradicts the data that it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.trust import DETAIL_WINDOW, shared
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.measurement.surroundings import Surroundings
from baikal_deploy.pixels.arrays import Mask, Planes
from baikal_deploy.pixels.cells import CELL, cell_products, cell_sums, cells_in, cells_of, strips, whole_cells

WINDOW = 4
"""Side of the windows, in cells, in which means of result and data are compared."""
LACKING = 0.5
"""Share of the detail in a window that the data must lack for it to be suspect: contrast may be a bit off."""
FAINT = 0.1
"""Strength of detail in a window, in standard deviations of the noise, below which it does not matter."""
BAND = 4.0
"""Standard deviations that a window's mean may lie off."""


@dataclass(frozen=True)
class Suspect:
    """Cells of planes in which the result contradicts the data.

    Attributes:
        cells: (N, rows of cells, columns of cells), True there.
        shape: (H, W) of the planes.
    """

    cells: Mask
    shape: tuple[int, int]

    def pixels(self) -> Mask:
        """The same for each pixel: (N, H, W)."""
        height, width = self.shape
        return self.cells.repeat(CELL, axis=-2).repeat(CELL, axis=-1)[:, :height, :width]

    def count(self, crop: Crop) -> int:
        """Number of suspect pixels in what is wanted.

        Args:
            crop: that the planes are read by.
        """
        spans = zip(crop.read, crop.wanted, self.cells.shape[1:], strict=True)
        rows, columns = (
            _pixels(count, want.start - read.start, want.stop - read.start) for read, want, count in spans
        )
        return int((np.count_nonzero(self.cells, axis=0) @ columns) @ rows)


def contradictions(y: Planes, x0: Planes, spectrum: Spectrum) -> Suspect:
    """Find where the result leaves the band that the noise allows around the data.

    In a window, the mean of data less result, and how much of the result's own detail these hold, are numbers
    of known standard deviation if the result is right, or hold some of the detail: each lies within BAND of
    them with a probability of 0.99994. What a denoiser invents or removes moves the first, and detail that it
    invents the second: it is missing in the data.

    Args:
        y: data, (N, 1, H, W).
        x0: result, (N, 1, H, W).
        spectrum: of the noise, on the network's scale.
    """
    shape, side = (y.shape[2], y.shape[3]), WINDOW * CELL
    wider = np.float32(side * math.sqrt(spectrum.of_means(side)) / spectrum.std)  # 1 for white noise
    sums = _sums(y[:, 0], x0[:, 0], spectrum)
    means = _windowed(sums[0], WINDOW)
    outside: Mask = np.abs(means, out=means) > wider * _allowed(shape)
    held, whole, *correlated = (_windowed(one, DETAIL_WINDOW) for one in sums[1:])
    variance = correlated[0] if correlated else whole
    cells = np.float32(prod(_window(held.shape[1:], DETAIL_WINDOW)))
    invented = held < -BAND * np.sqrt(np.maximum(variance, 0) / cells)
    invented &= held < -whole * np.float32(LACKING / spectrum.std)
    outside |= invented & (whole > np.float32((CELL * FAINT * spectrum.std) ** 2))
    return Suspect(outside, shape)


def _sums(y: Planes, x0: Planes, spectrum: Spectrum) -> NDArray[np.float32]:
    """Sums over cells of data less result in units of the noise, of that times the result's detail, of the
    detail squared, and, where the noise is not white, of the detail times what its correlation makes of it:
    (3 or 4, N, rows, columns).
    """
    around = Surroundings.of(x0)
    together = None if spectrum.is_white else _correlated(x0, around, spectrum)
    sums = np.empty((3 if together is None else 4, *cells_in(y.shape)), np.float32)
    for rows in strips(y.shape):
        residual = whole_cells(y[:, rows] - x0[:, rows], "constant")
        beside = around.rows(rows)
        detail = whole_cells(np.subtract(x0[:, rows], beside, out=beside), "constant")
        own = sums[:, :, cells_of(rows)]
        own[0] = cell_sums(residual)
        own[1] = cell_products(residual, detail)
        own[2] = cell_products(detail, detail)
        if together is not None:
            own[3] = cell_products(detail, whole_cells(together[:, rows], "constant"))
    sums[:2] /= np.float32(spectrum.std)
    return sums


def _correlated(x0: Planes, around: Surroundings, spectrum: Spectrum) -> Planes:
    """What the noise's correlation makes of the result's detail, (N, H, W)."""
    detail = x0 - around.rows(slice(0, x0.shape[1]))
    return shared(spectrum)(detail[:, None])[:, 0]


def _windowed(cells: Planes, side: int) -> Planes:
    """Mean over the window of so many cells around each, reflected at the edges: (…, rows, columns)."""
    height, width = _window(cells.shape[-2:], side)
    rows = _moving_sum(cells, height)
    means = _moving_sum(rows.swapaxes(-1, -2), width).swapaxes(-1, -2)
    means *= np.float32(1 / (height * width))
    return means


def _moving_sum(cells: Planes, length: int) -> Planes:
    """Sums over ``length`` rows around each, in as many steps as the length has binary digits.

    They do not depend on what lies outside, as a running sum would.
    """
    before = length // 2
    margins = [*((0, 0) for _ in cells.shape[:-2]), (before, length - 1 - before), (0, 0)]
    single = total = np.pad(cells, margins, "symmetric")
    done = 1
    for digit in f"{length:b}"[1:]:
        total, done = _added(total, total, done), 2 * done
        if digit == "1":
            total, done = _added(total, single, done), done + 1
    return total


def _added(sums: Planes, others: Planes, step: int) -> Planes:
    """Sums, and others so many rows behind them."""
    count = min(sums.shape[-2], others.shape[-2] - step)
    total: Planes = sums[..., :count, :] + others[..., step : step + count, :]
    return total


def _window(cells: tuple[int, ...], side: int) -> list[int]:
    """Sides of windows of ``side`` cells, in planes of (rows, columns) of them."""
    return [min(side, own) for own in cells]


@lru_cache(maxsize=8)
def _allowed(shape: tuple[int, int]) -> Planes:
    """Largest distance from 0 of the mean over the cells of a window, in planes (H, W): (rows, columns)."""
    sides = (_pixels(-(-side // CELL), 0, side).astype(np.float32) for side in shape)
    pixels: Planes = np.outer(*sides)
    window = _window(pixels.shape, WINDOW)
    allowed: Planes = np.sqrt(_windowed(pixels, WINDOW) / np.float32(prod(window))) * np.float32(BAND)
    return allowed


def _pixels(cells: int, start: int, stop: int) -> NDArray[np.int64]:
    """Number of pixels of each cell along an axis that lie between two of them; the last may be smaller."""
    first = CELL * np.arange(cells)
    counts: NDArray[np.int64] = np.minimum(first + CELL, stop) - np.maximum(first, start)
    return np.maximum(counts, 0, out=counts)
