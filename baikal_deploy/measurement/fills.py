"""The values that fill areas of a channel's planes, found in a sample of it.

A detector that counts few photons, or whose zero is clipped, holds the same value in large areas too. So each
value must fill squares so large that its frequency beside them could not bring about one in a whole channel;
what is rare needs small ones. And around what was never filled the image begins at once, while it fades into
a background of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from baikal_deploy.measurement.blank import (
    ALL_BORDERS,
    LARGEST_SIDE,
    LONGEST_BAND,
    Fill,
    filled,
    grown,
)
from baikal_deploy.measurement.marks import MEDIAN_STEP, with_drawn
from baikal_deploy.measurement.noise_model import grey_level
from baikal_deploy.pixels.arrays import Mask, Raw, Values

LEAST_SIDE, LEAST_BAND = 4, 32
CHANCE = 30.0
"""−ln of the probability that a window is filled by chance: 1e-3 in a channel of 1e10 pixels."""
RARE = 1e-3
"""Frequency of a value up to which its pixels are taken to be independent."""
ALONE = 0.05
"""Frequency up to which pixels that hold it touch by chance too seldom to lead anywhere."""
CLUSTERED = 3.0
"""Where a value is more frequent, the factor on the area of its windows: its pixels come in clusters."""
COMMON = 0.9
"""Frequency from which on a value is the background."""
RINGS = (1, 4), (4, 8)
"""Distances from areas, in pixels, between which a value is counted: beside them, where text in a box
leaves gaps that hold its value, and farther away.
"""
CORNERS = 2
"""Corners of the box around an area that it has at least, if its edges are straight."""
TILE = 32
"""Side of the tiles in which the frequency of a value is highest."""
MOST_VALUES = 6
"""Values that are looked at beside those of the type."""
FADES = 0.6
"""Distance of an image from the value 2 pixels beside an area, over that at 5 to 6, below which it fades."""
OUTLIER = 3.0
"""Distance, over the usual one, that counts for no more."""
FEW_SIGMAS = 3.0
"""Standard deviations of the noise by which it must, unless the value is a usual one."""
FEW_LEVELS = 2.0
"""Grey levels by which an image must differ from areas that are not its own."""


def find_fills(windows: Sequence[Raw], drawn: Sequence[Mask | None]) -> tuple[Fill, ...]:
    """The fill values of a channel.

    Zero and the type's lowest value are among them also where the sample has no such areas, unless they are
    values of the image.

    Args:
        windows: a sample of the channel, (H, W) each, of one dtype, in raw units.
        drawn: pixels of each that are drawn in, such as text in a box; None: none are.
    """
    if not windows:
        return ()
    found = (_fill_of(windows, drawn, value, usual) for value, usual in _candidates(windows))
    return tuple(fill for fill in found if fill is not None)


def _candidates(windows: Sequence[Raw]) -> Iterator[tuple[float, bool]]:
    """Values that may be fills, and whether they are so without a trace in the sample."""
    dtype = windows[0].dtype
    usual = [0.0] if dtype.kind == "f" else list(dict.fromkeys([0, int(np.iinfo(dtype).min)]))
    for value in usual:
        yield value, True
    for value in _repeated(windows):
        if value not in usual:
            yield value, False


def _repeated(windows: Sequence[Raw]) -> list[float]:
    """The values that most often fill cells of 4x4 pixels, or bands along the borders."""
    values = [np.empty(0)]
    for window in windows:
        height, width = (side - side % LEAST_SIDE for side in window.shape)
        cells = window[:height, :width].reshape(
            height // LEAST_SIDE, LEAST_SIDE, width // LEAST_SIDE, LEAST_SIDE
        )
        values.append(_constant(cells.transpose(0, 2, 1, 3).reshape(-1, LEAST_SIDE**2)))
        for line in (window[0], window[-1], window[:, 0], window[:, -1]):
            length = len(line) - len(line) % LEAST_BAND
            values.append(_constant(line[:length].reshape(-1, LEAST_BAND)))
    repeated = np.concatenate(values)
    found, counts = np.unique(repeated[np.isfinite(repeated)], return_counts=True)
    return [float(value) for value in found[np.argsort(-counts, kind="stable")][:MOST_VALUES]]


def _constant(rows: Raw) -> Values:
    """The values of the rows that hold one."""
    if not rows.size:
        return np.empty(0)
    first = rows[:, 0]
    values: Values = first[(rows == first[:, None]).all(axis=1)].astype(np.float64)
    return values


def _fill_of(windows: Sequence[Raw], drawn: Sequence[Mask | None], value: float, usual: bool) -> Fill | None:
    equal = [window == window.dtype.type(value) for window in windows]
    equal = [with_drawn(mask, strokes) for mask, strokes in zip(equal, drawn, strict=True)]
    fill: Fill | None = needed(0.0, 0.0, value)
    if not any(mask.any() for mask in equal):
        return fill if usual else None
    while True:
        assert fill is not None
        areas = [filled(mask, fill, ALL_BORDERS) for mask in equal]
        own = needed(*_frequencies(equal, areas), value)
        if own is None:
            return None
        if own.side <= fill.side:
            break
        fill = own
    if not any(area is not None for area in areas):
        return fill if usual else None
    if _is_background(windows, areas, value, usual):
        return None
    return replace(fill, saturated=_is_saturated(windows, equal, value))


def _is_saturated(windows: Sequence[Raw], equal: Sequence[Mask], value: float) -> bool:
    """True if a value is the highest, and most of its areas inside have no straight edges."""
    if any((window > value)[np.isfinite(window)].any() for window in windows):
        return False
    straight = rounded = 0
    for mask in equal:
        labels, _ = label(mask)
        for number, (rows, columns) in enumerate(find_objects(labels), 1):
            inside = rows.start and columns.start and rows.stop < len(mask)
            own = labels[rows, columns] == number
            size = int(np.count_nonzero(own))
            if not inside or columns.stop == mask.shape[1] or size < LEAST_SIDE**2:
                continue
            if np.count_nonzero(own[[0, 0, -1, -1], [0, -1, 0, -1]]) < CORNERS:
                rounded += size
            else:
                straight += size
    return rounded > straight


def needed(frequency: float, farther: float, value: float) -> Fill | None:
    """The windows that a value must fill, by its frequency beside them and farther away; None: none tell."""
    if frequency >= COMMON:
        return None
    area = CHANCE / -math.log(max(frequency, 1e-6)) * (1 if frequency <= RARE else CLUSTERED)
    side, band = max(LEAST_SIDE, math.ceil(math.sqrt(area))), max(LEAST_BAND, math.ceil(area))
    if side > LARGEST_SIDE:
        return None
    return Fill(value, side, band if band <= LONGEST_BAND else 0, farther <= ALONE)


def _frequencies(equal: Sequence[Mask], areas: Sequence[Mask | None]) -> tuple[float, float]:
    """How often a value occurs beside its areas, and farther away: there, or where it is most frequent."""
    found = [_shell(equal, areas, *ring) for ring in RINGS]
    near, far = (max(highest, held / count if count else 0.0) for highest, held, count in found)
    return max(near, far), far


def _shell(
    equal: Sequence[Mask], areas: Sequence[Mask | None], inner: int, outer: int
) -> tuple[float, int, int]:
    """The highest frequency in any tile beyond some pixels around areas; and between these and others, how
    many pixels hold the value, of how many."""
    highest, near, count = 0.0, 0, 0
    for mask, area in zip(equal, areas, strict=True):
        if not mask.any():
            continue
        outside = np.ones_like(mask) if area is None else ~grown(area, inner)
        highest = max(highest, _highest(mask & outside, outside))
        if area is not None:
            shell = outside & grown(area, outer)
            near, count = near + int((mask & shell).sum()), count + int(shell.sum())
    return highest, near, count


def _highest(mask: Mask, outside: Mask) -> float:
    """Largest share of marked pixels of what is outside, in any tile that is half outside."""
    marked, counts = (_tile_sums(pixels) for pixels in (mask, outside))
    enough = counts >= min(TILE**2, mask.size) / 2
    return float((marked[enough] / counts[enough]).max()) if enough.any() else 0.0


def _tile_sums(mask: Mask) -> NDArray[np.int64]:
    rows = np.add.reduceat(mask, np.arange(0, mask.shape[0], TILE), axis=0, dtype=np.int64)
    sums: NDArray[np.int64] = np.add.reduceat(rows, np.arange(0, mask.shape[1], TILE), axis=1)
    return sums


def _is_background(windows: Sequence[Raw], areas: Sequence[Mask | None], value: float, usual: bool) -> bool:
    """True if the image fades into the areas, or differs from them by few grey levels."""
    near, far, steps = [np.empty(0)], [np.empty(0)], [np.empty(0)]
    for window, area in zip(windows, areas, strict=True):
        if area is None:
            continue
        distance = np.abs(np.where(np.isfinite(window), window, np.nan) - value)
        for found, inner, outer in ((near, 1, 2), (far, 4, 6)):
            shell = grown(area, outer) & ~grown(area, inner) & np.isfinite(distance)
            found.append(distance[shell])
            steps.append(np.abs(np.diff(distance, axis=1))[shell[:, 1:]])
    beside, beyond = np.concatenate(near), np.concatenate(far)
    if not beside.size or not beyond.size:  # there is nothing else
        return True
    most = OUTLIER * float(np.median(beyond)) or np.inf  # such as text in a box
    mean_near, mean_far = (float(np.minimum(found, most).mean()) for found in (beside, beyond))
    if mean_near < FADES * mean_far:
        return True
    few_levels = FEW_LEVELS * grey_level([window[window != value] for window in windows])
    if usual:
        return bool(mean_near < few_levels)
    noise = float(np.nanmedian(np.concatenate(steps))) / MEDIAN_STEP
    return bool(mean_near < max(few_levels, FEW_SIGMAS * noise))
