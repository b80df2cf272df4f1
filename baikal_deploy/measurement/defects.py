"""Pixels of a detector that do not work: hot, or dead.

Light that went through a lens lights up neighbours too: of a point as narrow as 0.8 pixels (sigma) at least
0.46 of the peak reaches each of the four next to it. A pixel that exceeds the median around it by many
standard deviations of the noise at its own value, and at most one of its eight neighbours with it, is a
defect. Single pixels and pairs are found, and most threes, in two passes. Rows and columns come first: see
defect_lines.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.defect_lines import REACH as LINES_REACH
from baikal_deploy.measurement.defect_lines import defect_lines
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.arrays import Mask, Raw
from baikal_deploy.pixels.cells import STRIP_PIXELS

Places = NDArray[np.intp]
"""Rows, or columns, of some pixels."""

FAR = 7.0
"""Standard deviations of the noise that a defect exceeds its surroundings by."""
SHARED = 0.25
"""Share of its excess that no neighbour but one has; at the plane's border none at all."""
CERTAIN = 12.0
"""Standard deviations from which on two neighbours may have more."""
MAD_STD = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""
PASSES = 2
WINDOW = 2
"""Pixels on each side of one whose median it is compared with, and replaced by."""
REACH = PASSES * 2 * WINDOW + LINES_REACH
"""Pixels that the rules look around."""


def defects(plane: Raw, noise: NoiseModel, unit: float, ignored: Mask | None = None) -> Mask | None:
    """Find the hot and dead pixels, rows and columns of a plane.

    Args:
        plane: (H, W), finite, in raw units.
        noise: of its channel.
        unit: smallest difference of two values of the channel.
        ignored: pixels that are none; None: all may be.

    Returns:
        The mask; None where there are none.
    """
    if not noise.level > 0 or min(plane.shape) < 2 * WINDOW + 1:
        return None
    found = defect_lines(plane, noise, ignored)
    for _ in range(PASSES):
        current = plane if found is None else replaced(plane, found)
        rows, columns = _pixels(current, noise, unit)
        kept = np.ones(len(rows), bool) if ignored is None else ~ignored[rows, columns]
        if found is not None:
            kept &= ~found[rows, columns]
        if not kept.any():
            break
        found = np.zeros(plane.shape, bool) if found is None else found
        found[rows[kept], columns[kept]] = True
    return found


def replaced(plane: Raw, mask: Mask) -> Raw:
    """The plane with marked pixels replaced by the median of the others around them.

    Args:
        plane: (H, W), finite.
        mask: of at most three in a row, as ``defects`` finds them; a pixel without others around stays.
    """
    result = plane.astype(np.result_type(plane, np.float32))
    rows, columns = np.nonzero(mask)
    known = np.where(mask, result.dtype.type(np.nan), result)
    around = _around(known, rows, columns)
    some = np.isfinite(around).any(axis=1)
    result[rows[some], columns[some]] = np.nanmedian(around[some], axis=1)
    return result


def _around(plane: Raw, rows: Places, columns: Places) -> Raw:
    """Windows around pixels, with NaN beyond the plane: (pixels, 25)."""
    steps = np.arange(-WINDOW, WINDOW + 1)
    y, x = rows[:, None, None] + steps[:, None], columns[:, None, None] + steps
    inside = (y >= 0) & (y < plane.shape[0]) & (x >= 0) & (x < plane.shape[1])
    values = plane[y.clip(0, plane.shape[0] - 1), x.clip(0, plane.shape[1] - 1)]
    around: Raw = np.where(inside, values, plane.dtype.type(np.nan)).reshape(len(rows), len(steps) ** 2)
    return around


def _pixels(plane: Raw, noise: NoiseModel, unit: float) -> tuple[Places, Places]:
    """Rows and columns of the defects of one pass."""
    rows, columns = _candidates(plane, noise)
    if not len(rows):
        return rows, columns
    around = _around(plane.astype(np.result_type(plane, np.float32)), rows, columns)
    centre = around.shape[1] // 2
    own, median = around[:, centre], np.nanmedian(around, axis=1)
    excess = own - median
    sign = np.sign(excess)
    nearest = [centre + row * (2 * WINDOW + 1) + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
    neighbours = sign[:, None] * (around[:, nearest] - median[:, None])
    # The pixel itself is one of them; what lies beyond the plane, NaN, shares nothing.
    sharing = (neighbours > SHARED * np.abs(excess)[:, None]).sum(axis=1) - 1
    local = MAD_STD * np.nanmedian(np.abs(around - median[:, None]), axis=1)
    std = noise.std(np.where(sign > 0, own, median))
    if noise.gain == 0:  # perhaps there were too few bright pixels to tell it
        std = np.maximum(std, local)
    # Where most pixels are the same, as photons are few, each may add a unit.
    std = np.where(local == 0, np.maximum(std, np.sqrt(unit * np.abs(excess))), std)
    distance = np.abs(excess) / std
    inner = np.isfinite(around[:, nearest]).all(axis=1)
    found = (distance > FAR) & (sharing <= np.where(inner, np.where(distance > CERTAIN, 2, 1), 0))
    return rows[found], columns[found]


def _candidates(plane: Raw, noise: NoiseModel) -> tuple[Places, Places]:
    """Pixels that may be defects, which are few: they differ from three of their neighbours by enough."""
    padded = np.pad(plane, 1, mode="reflect")
    tops = range(0, len(plane), max(1, STRIP_PIXELS // padded.shape[1]))
    found = [
        _marked(_are_candidates(padded[top : top + tops.step + 2], noise)) + top * plane.shape[1]
        for top in tops
    ]
    return np.divmod(np.concatenate(found), plane.shape[1])


def _marked(mask: Mask) -> Places:
    """Numbers of the pixels that are marked, row by row; most strips have none, which is told at once."""
    return np.flatnonzero(mask) if mask.any() else np.empty(0, np.intp)


def _are_candidates(padded: Raw, noise: NoiseModel) -> Mask:
    """Candidates in a strip with one more pixel on each side."""
    padded = padded.astype(np.float32)
    own, up, down = padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    highest, lowest = np.maximum(up, down), np.minimum(up, down)
    total = up + down
    for other in (left, right):
        total += other
        np.maximum(highest, other, out=highest)
        np.minimum(lowest, other, out=lowest)
    variance = own * np.float32(noise.gain)
    variance += np.float32(noise.intercept)
    np.maximum(variance, np.float32(noise.floor), out=variance)
    enough = np.sqrt(variance, out=variance)
    enough *= np.float32(3 * FAR * (1 - SHARED) * 0.999)
    total -= 3 * own
    found: Mask = highest - total > enough
    found |= total - lowest > enough
    return found
