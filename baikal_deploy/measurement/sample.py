"""A bounded sample of a channel, its block means, and the level of its noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.intensity import is_constant
from baikal_deploy.pixels.arrays import Raw, Region

SAMPLE_PIXELS = 2**21
"""Most pixels of a channel that are looked at to measure it."""
Window = tuple[int, slice, slice]
"""Plane, rows and columns."""
Read = Callable[[list[Window]], list[Raw]]

R2 = 0.7548776662, 0.5698402910
GOLDEN = 0.6180339887
MORE = 8
"""Samples that are taken at most, until ENOUGH of the windows of one hold more than one value."""
ENOUGH = 0.5
SAMPLE_SIDE = 256
"""Side of the windows that make up a sample of a channel too large to look at whole."""
FIT_PIXELS = 2**19
"""Pixels of the sample that the noise model is fitted to: more add nothing to it but time."""
LEFT_OUT = (0, 1, 3, 7)
"""Numbers of rows and columns that are left out of planes whose pixels are drawn up to 8 times as large."""
VISIBLE = 1e-3
"""Share of the noise from which on blocks show it: less is rounding."""
BLOCK = 4
"""Side of the blocks whose means stand in for a denoised image at first (noise falls by this factor)."""


def sample_windows(num_planes: int, shape: tuple[int, int], more: int = 0) -> list[Window]:
    """A bounded sample of a channel: (plane, y, x) of each window.

    Everything where that is within bounds; otherwise windows whose planes are evenly spaced and
    whose places follow a low-discrepancy sequence (Roberts 2018, R2). The same for any chunking.

    Args:
        num_planes: of the channel.
        shape: (H, W) of its planes.
        more: 0; or 1 … MORE for as many further windows, in other planes and places.
    """
    height, width = shape
    if num_planes * height * width <= SAMPLE_PIXELS:
        return [(plane, slice(0, height), slice(0, width)) for plane in range(num_planes)]
    count = SAMPLE_PIXELS // (min(height, SAMPLE_SIDE) * min(width, SAMPLE_SIDE))
    windows = []
    for i in range(count):
        plane = (2 * i + 1) * num_planes // (2 * count)
        if more:
            plane = int((plane + more * GOLDEN * num_planes) % num_planes)
        number = i + more * count
        windows.append((plane, *place_of(number, shape, SAMPLE_SIDE)))
    return windows


def sampled(read: Read, num_planes: int, shape: tuple[int, int]) -> list[Raw]:
    """A bounded sample of a channel: the windows of ``sample_windows``, and others where these are empty.

    Args:
        read: reads windows; it may leave out some.
        num_planes: of the channel.
        shape: (H, W) of its planes.
    """
    found = read(sample_windows(num_planes, shape))
    first = len(found)
    if num_planes * shape[0] * shape[1] <= SAMPLE_PIXELS:
        return found
    for more in range(1, MORE):
        if len(telling_only(found)) >= first * ENOUGH:
            break
        found = telling_only(found) + telling_only(read(sample_windows(num_planes, shape, more)))
    return found[:first] if found else read(sample_windows(num_planes, shape))


def telling_crop(frame: Raw, side: int, number: int) -> Raw:
    """A crop of a frame that holds more than one value, if one of MORE places has it.

    Args:
        frame: (H, W).
        side: longest of the crop.
        number: of the frame, which decides on the place.
    """
    for more in range(MORE):
        i = number + more * MORE
        crop = frame[place_of(i, frame.shape, side)]
        if not is_constant(crop):
            break
    return crop


def place_of(number: int, shape: tuple[int, ...], side: int) -> Region:
    """Place of a window in a plane, in a low-discrepancy sequence (Roberts 2018).

    Args:
        number: in the sequence, from 0.
        shape: (H, W) of the plane.
        side: of the window, in pixels; a smaller plane is taken whole.
    """
    y, x = (_place(number, length, side, step) for length, step in zip(shape, R2, strict=True))
    return y, x


def _place(number: int, length: int, side: int, step: float) -> slice:
    side = min(length, side)
    start = int((0.5 + number * step) % 1 * (length - side + 1))
    return slice(start, start + side)


def telling_only(windows: Sequence[Raw]) -> list[Raw]:
    """The windows that hold more than one value; dropped frames and empty tiles tell nothing."""
    return [window for window in windows if not is_constant(window)]


def telling(windows: Sequence[Raw]) -> list[Raw]:
    """The windows that hold more than one value; all, if none does."""
    return telling_only(windows) or list(windows)


def part_of(planes: Sequence[Raw]) -> list[Raw]:
    """Planes evenly spaced in the sequence, of FIT_PIXELS all together as far as there are any."""
    step = max(1, sum(plane.size for plane in planes) // FIT_PIXELS)
    return list(planes[::step])


def noise_std(planes: Sequence[Raw]) -> float:
    """Standard deviation of white noise in planes of any content, in raw units.

    It is the rms of the diagonal Haar detail (a − b − c + d)/2 over 2x2 blocks, which sees little of
    smooth structure.

    Args:
        planes: (H, W) arrays; non-finite pixels are left out.
    """
    total, count = 0.0, 0
    for plane in planes:
        height, width = (side - side % 2 for side in plane.shape)
        quads = plane[:height, :width].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # inf − inf, and no intensities
            detail = (quads[::2, ::2] - quads[::2, 1::2] - quads[1::2, ::2] + quads[1::2, 1::2]) / 2
            detail = detail[np.isfinite(detail)]
            total, count = total + float(np.square(detail).sum()), count + detail.size
    return float(np.sqrt(total / count)) if count else 0.0


def unaligned(planes: Sequence[Raw]) -> list[Raw]:
    """Planes whose blocks of 2x2 pixels show the noise.

    Where rows, columns or pixels are doubled (displays, software zoom), blocks that begin with them hold
    the same value twice, and their detail is 0: then the first rows and columns are left out.

    Args:
        planes: (H, W) each.
    """
    cuts = [[plane[left_out:, left_out:] for plane in planes] for left_out in LEFT_OUT]
    levels = [noise_std(cut) for cut in cuts]
    return next(cut for cut, level in zip(cuts, levels, strict=True) if level >= VISIBLE * max(levels))


def block_means(plane: Raw) -> NDArray[np.float64]:
    """Means of blocks of BLOCK² pixels (smaller planes: one block), ignoring non-finite pixels."""
    side = max(1, min(BLOCK, *plane.shape))
    height, width = (length - length % side for length in plane.shape)
    blocks = plane[:height, :width].astype(np.float64).reshape(height // side, side, width // side, side)
    finite = np.isfinite(blocks)
    count = finite.sum(axis=(1, 3))
    total = np.where(finite, blocks, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
