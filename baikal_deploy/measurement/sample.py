"""A bounded sample of a channel, its block means, and the level of its noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.pixels.arrays import Raw

SAMPLE_PIXELS = 2**21
"""Most pixels of a channel that are looked at to measure it."""
SAMPLE_SIDE = 256
"""Side of the windows that make up a sample of a channel too large to look at whole."""
LEFT_OUT = (0, 1, 3, 7)
"""Numbers of rows and columns that are left out of planes whose pixels are drawn up to 8 times as large."""
VISIBLE = 1e-3
"""Share of the noise from which on blocks show it: less is rounding."""
BLOCK = 4
"""Side of the blocks whose means stand in for a denoised image at first (noise falls by this factor)."""


def sample_windows(num_planes: int, shape: tuple[int, int]) -> list[tuple[int, slice, slice]]:
    """A bounded sample of a channel: (plane, y, x) of each window.

    Everything where that is within bounds; otherwise windows whose planes are evenly spaced and
    whose places follow a low-discrepancy sequence (Roberts 2018, R2). The same for any chunking.
    """
    height, width = shape
    if num_planes * height * width <= SAMPLE_PIXELS:
        return [(plane, slice(0, height), slice(0, width)) for plane in range(num_planes)]
    rows, columns = min(height, SAMPLE_SIDE), min(width, SAMPLE_SIDE)
    count = SAMPLE_PIXELS // (rows * columns)
    windows = []
    for i in range(count):
        plane = (2 * i + 1) * num_planes // (2 * count)
        top = int((0.5 + i * 0.7548776662) % 1 * (height - rows + 1))
        left = int((0.5 + i * 0.5698402910) % 1 * (width - columns + 1))
        windows.append((plane, slice(top, top + rows), slice(left, left + columns)))
    return windows


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
        with np.errstate(invalid="ignore"):  # inf − inf
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
