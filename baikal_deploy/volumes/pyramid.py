"""Resolution levels: y and x halved by the local mean until a plane is small; z, c and t stay.

As z is never reduced, the shard of a level holds the same planes as the one of level 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import VolumeInfo

SMALLEST_PLANE = 128


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Attributes:
        plane_shape: (H, W) of the level.
        factors: pixels of level 0 per pixel along y and x. At an odd size the last pixel stands
            for fewer of them, which NGFF cannot express; an axis of one pixel keeps its factor.
    """

    plane_shape: tuple[int, int]
    factors: tuple[int, int]

    def scale(self, info: VolumeInfo) -> tuple[float, ...]:
        """Pixel size along each axis of the volume, in the axis' unit.

        Args:
            info: the volume, as level 0 has it.
        """
        return info.scale[:-2] + tuple(s * f for s, f in zip(info.scale[-2:], self.factors, strict=True))

    def translation(self, info: VolumeInfo) -> tuple[float, ...]:
        """Centre of pixel 0 along each axis, in the axis' unit.

        It is the centre of the pixels of level 0 that pixel 0 is the mean of.

        Args:
            info: the volume, as level 0 has it.
        """
        inplane = zip(info.translation[-2:], info.scale[-2:], self.factors, strict=True)
        return info.translation[:-2] + tuple(t + (f - 1) / 2 * s for t, s, f in inplane)


def pyramid_levels(plane_shape: tuple[int, int]) -> list[Level]:
    """Level 0 and its halvings, up to the first whose sides are both 128 or less.

    Args:
        plane_shape: (H, W) of level 0.
    """
    levels = [Level(plane_shape, (1, 1))]
    while max(levels[-1].plane_shape) > SMALLEST_PLANE:
        (height, width), (fy, fx) = levels[-1].plane_shape, levels[-1].factors
        factors = (fy * min(2, height), fx * min(2, width))
        levels.append(Level(((height + 1) // 2, (width + 1) // 2), factors))
    return levels


def downsample(planes: Raw) -> Raw:
    """Mean over blocks of 2 by 2 pixels: (N, H, W) -> (N, ceil(H/2), ceil(W/2)), same dtype.

    Integers are rounded half up. At an odd size the last row or column is the mean of what exists.
    """
    half = np.empty((len(planes), *((side + 1) // 2 for side in planes.shape[1:])), planes.dtype)
    # Plane by plane, all stays in the processor's cache.
    for plane, mean in zip(planes, half, strict=True):
        mean[...] = _halved(plane)
    return half


def _halved(plane: Raw) -> Raw:
    """One plane (H, W), halved as ``downsample`` says."""
    top, bottom = plane[::2], _second(plane, axis=0)
    if plane.dtype.kind == "f":
        quarters = [rows * plane.dtype.type(0.25) for rows in (top, bottom)]
        rows: Raw = quarters[0] + quarters[1]
        return rows[:, ::2] + _second(rows, axis=1)
    if plane.dtype.itemsize < 8:
        rows = top.astype(np.int32 if plane.dtype.itemsize < 4 else np.int64)
        rows += bottom
        total: Raw = rows[:, ::2] + _second(rows, axis=1)
        total += 2
        return total >> 2
    # (a+b+c+d+2) >> 2 without leaving the type: quotients and remainders by 4 are summed apart.
    corners = (top[:, ::2], _second(top, axis=1), bottom[:, ::2], _second(bottom, axis=1))
    first, *others = corners
    quotient: Raw = sum((corner >> 2 for corner in others), first >> 2)
    remainder: Raw = sum((corner & 3 for corner in others), first & 3)
    rounded: Raw = quotient + ((remainder + 2) >> 2)
    return rounded


def _second(pixels: Raw, axis: int) -> Raw:
    """The second of each pair along an axis; at an odd size the last pair is one pixel twice."""
    size = pixels.shape[axis]
    if size % 2 == 0:
        return pixels[1::2] if axis == 0 else pixels[:, 1::2]
    return pixels.take([min(i + 1, size - 1) for i in range(0, size, 2)], axis=axis)
