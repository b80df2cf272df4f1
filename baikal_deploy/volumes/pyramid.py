"""Resolution levels: y and x halved by the local mean until a plane is small; z, c and t stay.

As z is never reduced, the shard of a level holds the same planes as the one of level 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from baikal_deploy.volumes.base import Pixels, VolumeInfo

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
        """Pixel size per axis of the volume."""
        return info.scale[:-2] + tuple(s * f for s, f in zip(info.scale[-2:], self.factors, strict=True))

    def translation(self, info: VolumeInfo) -> tuple[float, ...]:
        """Centre of pixel 0 per axis: that of the ``factor`` pixels of level 0 it is the mean of."""
        inplane = zip(info.translation[-2:], info.scale[-2:], self.factors, strict=True)
        return info.translation[:-2] + tuple(t + (f - 1) / 2 * s for t, s, f in inplane)


def pyramid_levels(plane_shape: tuple[int, int]) -> list[Level]:
    """Level 0 and its halvings, up to the first whose sides are both 128 or less."""
    levels = [Level(plane_shape, (1, 1))]
    while max(levels[-1].plane_shape) > SMALLEST_PLANE:
        (height, width), (fy, fx) = levels[-1].plane_shape, levels[-1].factors
        factors = (fy * min(2, height), fx * min(2, width))
        levels.append(Level(((height + 1) // 2, (width + 1) // 2), factors))
    return levels


def downsample(planes: Pixels) -> Pixels:
    """Mean over blocks of 2 by 2 pixels: (N, H, W) -> (N, ceil(H/2), ceil(W/2)), same dtype.

    Integers are rounded half up. At an odd size the last row or column is the mean of what exists.
    """
    top, bottom = planes[:, ::2], _second(planes, axis=1)
    corners = (top[:, :, ::2], _second(top, axis=2), bottom[:, :, ::2], _second(bottom, axis=2))
    if planes.dtype.kind == "f":
        first, *others = (corner * planes.dtype.type(0.25) for corner in corners)
        mean: Pixels = sum(others, first)
        return mean
    # (a+b+c+d+2) >> 2 without leaving the type: quotients and remainders by 4 are summed apart.
    first, *others = corners
    quotient: Pixels = sum((corner >> 2 for corner in others), first >> 2)
    remainder: Pixels = sum((corner & 3 for corner in others), first & 3)
    rounded: Pixels = quotient + ((remainder + 2) >> 2)
    return rounded


def _second(planes: Pixels, axis: int) -> Pixels:
    """The second of each pair along an axis; at an odd size the last pair is one pixel twice."""
    size = planes.shape[axis]
    index = [min(i + 1, size - 1) for i in range(0, size, 2)]
    return planes.take(index, axis=axis)
