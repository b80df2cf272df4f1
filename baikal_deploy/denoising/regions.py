"""Regions of planes that are too large to be denoised whole, and what has to be read around them.

A region is denoised with the very windows of the network that the whole plane would have: those that touch
it, and so the pixels as far as these windows reach. For one evaluation that makes its pixels those of the
whole plane. In a walk of several steps what is outside creeps in, and the sampler asks for a halo of pixels
that are denoised as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Self

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.trust import REACH
from baikal_deploy.denoising.windows import AxisPlan, TilePlan
from baikal_deploy.measurement.surroundings import BASE_REACH
from baikal_deploy.pixels.arrays import Region
from baikal_deploy.pixels.cells import CELL


@dataclass(frozen=True)
class Part:
    """What is read of planes to denoise a region of them.

    Attributes:
        plane_shape: (H, W) of the planes.
        region: rows and columns that are wanted.
        extent: rows and columns that are read, the region among them.
    """

    plane_shape: tuple[int, int]
    region: Region
    extent: Region

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Self:
        """All of planes of ``shape``."""
        everything = slice(0, shape[0]), slice(0, shape[1])
        return cls(shape, everything, everything)

    @classmethod
    def around(cls, region: Region, plan: TilePlan, halo: int) -> Self:
        """What the pixels of a region depend on.

        Args:
            plan: the windows over the whole planes.
            halo: see ``Resolved.halo``.
        """
        axes = zip((plan.y, plan.x), plan.shape, region, strict=True)
        y, x = (_reach(axis, size, span, halo + REACH) for axis, size, span in axes)
        return cls(plan.shape, region, (y, x))

    @property
    def is_whole(self) -> bool:
        return self.shape == self.plane_shape

    @property
    def origin(self) -> tuple[int, int]:
        """(y, x) of the first pixel that is read."""
        return self.extent[0].start, self.extent[1].start

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of what is read."""
        y, x = self.extent
        return y.stop - y.start, x.stop - x.start

    @property
    def inner(self) -> Region:
        """The region in what is read."""
        y, x = (
            slice(r.start - e.start, r.stop - e.start) for r, e in zip(self.region, self.extent, strict=True)
        )
        return y, x

    @property
    def crop(self) -> Crop:
        return Crop(self.plane_shape, self.origin, self.shape)


def _reach(axis: AxisPlan, size: int, span: slice, halo: int) -> slice:
    """The pixels along one axis as far as the windows over a span reach, in flipped planes too, and the
    surroundings that the noise in them is told from. It starts where one of the cells of the whole plane does
    in which these, and maps, are computed."""
    start, stop = max(span.start - halo, 0), min(span.stop + halo, size)
    first, last = _windows_over(axis, start, stop)
    flipped_last, flipped_first = (size - edge for edge in _windows_over(axis, size - stop, size - start))
    low, high = min(first, flipped_first), max(last, flipped_last)
    return slice(max(low - BASE_REACH, 0) // CELL * CELL, min(high + BASE_REACH, size))


def _windows_over(axis: AxisPlan, start: int, stop: int) -> tuple[int, int]:
    """First and last pixel of the windows that touch [start, stop)."""
    touching = [o for o in axis.origins if o < stop and o + axis.window > start]
    return touching[0], touching[-1] + axis.window


def largest_part(plan: TilePlan, edge: int, halo: int) -> int:
    """Raw of the largest part that is read for any region.

    Args:
        edge: side of the regions.
        halo: see ``Resolved.halo``.
    """
    longest = []
    for axis, size in zip((plan.y, plan.x), plan.shape, strict=True):
        spans = (slice(start, min(start + edge, size)) for start in range(0, size, edge))
        reaches = (_reach(axis, size, span, halo + REACH) for span in spans)
        longest.append(max(reach.stop - reach.start for reach in reaches))
    return prod(longest)
