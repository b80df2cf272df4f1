"""Pixels that were never filled: where a plane holds one value over areas that no detector leaves so.

Registration, deskewing, stitching, rotation, dropped frames and missing chunks leave areas of 0, of the
lowest or highest value of the type, or of NaN. A pixel is one of them if it lies in a square, or in a long
band, that holds the value throughout; how large these must be follows from how often the value occurs by
itself (see fills.py). What touches them and holds the value as well, such as the tip of a wedge, belongs to
them. The rule looks no farther than REACH, so that a part of a plane has the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation

from baikal_deploy.measurement import marks as drawing
from baikal_deploy.measurement.marks import Mark
from baikal_deploy.pixels.arrays import Mask, Raw

Borders = tuple[bool, bool, bool, bool]
"""Whether the first row, the last row, the first and the last column are those of the whole plane."""

ALL_BORDERS: Borders = (True, True, True, True)
BAND = 4
"""Width of a band, in pixels; one at the plane's border may be narrower. Inside, narrower ones are taken to
be rows or columns of a detector that do not work."""
GROWTH = 24
"""Pixels that an area grows by, into what holds its value and is narrower than a square or a band."""
LARGEST_SIDE = 32
LONGEST_BAND = 48
REACH = LONGEST_BAND + GROWTH + drawing.REACH
"""Pixels that the rule looks around."""
LARGEST = 1e18
"""Real numbers beyond that stand for what is missing, as the largest one of a type does.
Their squares would leave single precision."""


@dataclass(frozen=True)
class Fill:
    """A value that fills areas of a channel's planes.

    Attributes:
        value: in raw units.
        side: of the squares that hold it throughout, in pixels.
        band: length of the bands that do, BAND wide or at the plane's border; 0: bands tell nothing.
        grows: whether whatever touches an area and holds a fill value belongs to it.
        saturated: whether the detector gives it where it has too much light.
    """

    value: float
    side: int
    band: int
    grows: bool
    saturated: bool = False


def blank(
    plane: Raw, fills: Sequence[Fill], borders: Borders = ALL_BORDERS, marks: Sequence[Mark] = ()
) -> Mask | None:
    """Find the pixels that say nothing: no intensity, never filled, or drawn in.

    Args:
        plane: (H, W), in raw units.
        fills: of its channel.
        borders: of the plane, where it is a part of a larger one.
        marks: of its channel.

    Returns:
        The mask; None where there are none.
    """
    found = strokes = drawing.drawn(plane, marks)
    if plane.dtype.kind == "f" and not (known := _are_intensities(plane)).all():
        found = ~known if found is None else found | ~known
    held, areas = None, None
    for fill in fills:
        equal = plane == plane.dtype.type(fill.value)
        if not equal.any():
            continue
        if (area := filled(drawing.with_drawn(equal, strokes), fill, borders)) is not None:
            areas = area if areas is None else areas | area
        if fill.grows:
            held = equal if held is None else held | equal
    if areas is None:
        return found
    if held is not None:
        areas = binary_dilation(areas, np.ones((3, 3)), GROWTH, mask=held | areas | _at_an_end(plane))
    return areas if found is None else areas | found


def only_intensities(plane: Raw) -> Raw:
    """A plane with NaN for real numbers that are no intensities; itself without any."""
    if plane.dtype.kind != "f" or (known := _are_intensities(plane)).all():
        return plane
    return np.where(known, plane, plane.dtype.type(np.nan))


def _are_intensities(plane: Raw) -> Mask:
    """Where a plane of real numbers holds intensities: neither NaN nor infinite, nor beyond LARGEST."""
    largest = plane.dtype.type(min(LARGEST, float(np.finfo(plane.dtype).max)))
    found: Mask = (plane >= -largest) & (plane <= largest)
    return found


def _at_an_end(plane: Raw) -> Mask | bool:
    """Where a plane has the lowest or highest value of its type: what is written into an area has it too."""
    if plane.dtype.kind == "f":
        return False
    ends = np.iinfo(plane.dtype)
    found: Mask = (plane == ends.min) | (plane == ends.max)
    return found


def filled(equal: Mask, fill: Fill, borders: Borders) -> Mask | None:
    """Squares and bands in which all pixels are marked; None without any."""
    found = _opened(equal, fill.side, fill.side)
    if fill.band:
        top, bottom, left, right = (BAND - 1 if border else 0 for border in borders)
        for rows, columns, height, width in (
            ((top, bottom), (0, 0), BAND, fill.band),
            ((0, 0), (left, right), fill.band, BAND),
        ):
            opened = _opened(np.pad(equal, (rows, columns), constant_values=True), height, width)
            if opened is not None:
                inner = opened[rows[0] :, columns[0] :][: equal.shape[0], : equal.shape[1]] & equal
                found = inner if found is None else found | inner
    return found if found is not None and found.any() else None


def grown(mask: Mask, pixels: int) -> Mask:
    """A mask with all pixels as near as that, along rows, columns and diagonals."""
    missing = ~np.pad(mask, pixels)
    for axis in (0, 1):
        missing = _runs(missing, 2 * pixels + 1, axis)
    return ~missing


def _opened(mask: Mask, height: int, width: int) -> Mask | None:
    """The windows of a size that are marked throughout, put together (Serra 1982); None without any."""
    if mask.shape[0] < height or mask.shape[1] < width:
        return None
    starts = mask
    for axis, length in ((0, height), (1, width)):
        starts = _runs(starts, length, axis)
        if not starts.any():
            return None
    padding = [(length - 1, length - 1) for length in (height, width)]
    missing = ~np.pad(starts, padding)
    for axis, length in ((0, height), (1, width)):
        missing = _runs(missing, length, axis)
    return ~missing


def _runs(mask: Mask, length: int, axis: int) -> Mask:
    """Where runs of a length begin along an axis, in as many steps as the length has binary digits."""
    mask, done = np.moveaxis(mask, axis, 0), 1
    while done < length:
        step = min(done, length - done)
        mask, done = mask[: len(mask) - step] & mask[step:], done + step
    return np.moveaxis(mask, 0, axis)
