"""Pixels of a detector that do not work: hot, or dead.

Light that went through a lens lights up neighbours too: of a point as narrow as 0.8 pixels (sigma) at least
0.46 of the peak reaches each of the four next to it. A pixel that exceeds the median around it by many
standard deviations of the noise at its own value, and at most one of its eight neighbours with it, is a
defect. Single pixels and pairs are found, and most threes, in two passes. Rows and columns come first: see
defect_lines.py.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

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
LEAST_STEP = FAR * (1 - SHARED) * 0.999
"""Standard deviations that a candidate differs by from the mean of three of its neighbours."""
CROSS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""A pixel and those on its four sides: steps along y and x."""
FEW = 1 / 8
"""Share of the pixels of a strip up to which they are looked at one by one."""
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
    result[rows[some], columns[some]] = _medians(around[some])
    return result


def _around(plane: Raw, rows: Places, columns: Places) -> Raw:
    """Windows around pixels, with NaN beyond the plane, in a real type: (pixels, 25)."""
    steps = np.arange(-WINDOW, WINDOW + 1)
    y, x = rows[:, None, None] + steps[:, None], columns[:, None, None] + steps
    inside = (y >= 0) & (y < plane.shape[0]) & (x >= 0) & (x < plane.shape[1])
    values = plane[y.clip(0, plane.shape[0] - 1), x.clip(0, plane.shape[1] - 1)]
    values = values.astype(np.result_type(plane, np.float32), copy=False)
    values[~inside] = np.nan
    around: Raw = values.reshape(len(rows), len(steps) ** 2)
    return around


def _medians(around: Raw) -> Raw:
    """Median of each window, without NaN: (pixels, 25) -> (pixels,)."""
    # NaN is sorted to the end; np.nanmedian takes several times as long where there is one.
    ordered, known = np.sort(around, axis=1), np.count_nonzero(~np.isnan(around), axis=1)
    pixels, half = np.arange(len(around)), around.dtype.type(0.5)
    medians: Raw = half * ordered[pixels, (known - 1) // 2] + half * ordered[pixels, known // 2]
    return medians


def _pixels(plane: Raw, noise: NoiseModel, unit: float) -> tuple[Places, Places]:
    """Rows and columns of the defects of one pass."""
    rows, columns = _candidates(plane, noise)
    if not len(rows):
        return rows, columns
    around = _around(plane, rows, columns)
    centre = around.shape[1] // 2
    own, median = around[:, centre], _medians(around)
    excess = own - median
    sign = np.sign(excess)
    nearest = [centre + row * (2 * WINDOW + 1) + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
    neighbours = sign[:, None] * (around[:, nearest] - median[:, None])
    # The pixel itself is one of them; what lies beyond the plane, NaN, shares nothing.
    sharing = (neighbours > SHARED * np.abs(excess)[:, None]).sum(axis=1) - 1
    local = MAD_STD * _medians(np.abs(around - median[:, None]))
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
    found, narrow = [], plane.dtype in (np.uint8, np.uint16)
    for top in tops:
        strip = padded[top : top + tops.step + 2]
        places = _one_by_one(strip, noise) if narrow else None
        if places is None:
            narrow, crosses = False, _crosses(strip.astype(np.float32))
            places = _marked(_are_candidates(*crosses, noise))
        found.append(places + top * plane.shape[1])
    return np.divmod(np.concatenate(found), plane.shape[1])


def _marked(mask: Mask) -> Places:
    """Numbers of the pixels that are marked, row by row; most strips have none, which is told at once."""
    return np.flatnonzero(mask) if mask.any() else np.empty(0, np.intp)


def _crosses(padded: Raw) -> tuple[Raw, list[Raw]]:
    """The pixels of a strip with one more on each side, and those on their four sides."""
    height, width = padded.shape
    own, *beside = (padded[1 + y : height - 1 + y, 1 + x : width - 1 + x] for y, x in CROSS)
    return own, beside


def _one_by_one(padded: Raw, noise: NoiseModel) -> Places | None:
    """Candidates among the uneven pixels of a strip of narrow integers; None where these are not few."""
    uneven = _are_uneven(padded, noise)
    if np.count_nonzero(uneven) > FEW * uneven.size:
        return None
    places = _marked(uneven)
    (own, beside), at = _crosses(padded), np.divmod(places, uneven.shape[1])
    return places[_are_candidates(own[at], [other[at] for other in beside], noise)]


def _are_uneven(padded: Raw, noise: NoiseModel) -> Mask:
    """Pixels of a strip of narrow integers that, with the four around them, differ by enough for a candidate.

    That is told in half the time.
    """
    own, ends = padded[1:-1, 1:-1], []
    for extreme in (np.maximum, np.minimum):
        end = extreme(padded[:-2, 1:-1], padded[2:, 1:-1])
        for other in (own, padded[1:-1, :-2], padded[1:-1, 2:]):
            extreme(end, other, out=end)
        ends.append(end)
    highest, lowest = ends
    highest -= lowest
    least = np.float32(LEAST_STEP**2)
    variance = own.astype(np.float32)
    variance *= least * np.float32(noise.gain)
    variance += least * np.float32(noise.intercept)
    np.clip(variance, least * np.float32(noise.floor), np.inf, out=variance)
    squared = highest.astype(np.float32)
    squared *= squared
    uneven: Mask = squared > variance
    return uneven


def _are_candidates(own: Raw, beside: Sequence[Raw], noise: NoiseModel) -> Mask:
    """Which of some pixels are candidates.

    Args:
        own: their values.
        beside: those of the pixels on their four sides.
    """
    own = own.astype(np.float32)
    highest, lowest = functools.reduce(np.maximum, beside), functools.reduce(np.minimum, beside)
    total = beside[0].astype(np.float32)
    for other in beside[1:]:
        total += other
    total -= 3 * own
    variance = own * np.float32(noise.gain) + np.float32(noise.intercept)
    enough = np.sqrt(np.maximum(variance, np.float32(noise.floor))) * np.float32(3 * LEAST_STEP)
    found: Mask = (highest - total > enough) | (total - lowest > enough)
    return found
