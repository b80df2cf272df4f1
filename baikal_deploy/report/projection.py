"""Volumes of any size as single planes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.selection import select

LARGEST = 1024
"""Longest side of a projection, in pixels."""
MOST_PLANES = 256
"""Most planes that a projection is made of: more would take long to read, and show little else."""


def step_of(shape: tuple[int, int], largest: int = LARGEST) -> int:
    """Step at which a plane is to be thinned to a side of ``largest`` pixels."""
    return -(-max(shape) // largest)


def thinned(volume: Volume, plane: int, step: int) -> Raw:
    """Every ``step``-th pixel of a plane along y and x.

    Pixels are left out, not averaged, and no level of a pyramid is taken: means would hide the noise that
    is to be seen.

    Raises:
        VolumeError: pixels that cannot be read.
    """
    every = slice(None, None, step)
    pixels: Raw = select(volume, {"y": every, "x": every}).read([plane])[0]
    return pixels


def depth_of(info: VolumeInfo) -> int:
    """Number of planes along z."""
    return next((size for axis, size in zip(info.axes, info.shape, strict=True) if axis.name == "z"), 1)


def stack(info: VolumeInfo, channel: int, most: int = MOST_PLANES) -> range:
    """Planes of a channel along z, at the first timepoint; of more than ``most`` some, evenly spaced."""
    depth = depth_of(info)
    return range(channel * depth, (channel + 1) * depth, -(-depth // most))


@dataclass(frozen=True)
class Projection:
    """A channel's first timepoint, seen along z.

    Attributes:
        before, after: the largest of each pixel's values, in raw units (h, w); NaN where there are none.
        difference: the mean of after less before. The largest of many noisy values lies above the truth, so
            that the difference of the projections would show little but that.
        planes: how many it is made of.
        depth: how many there are.
        step: of a plane, every so-many-th pixel along y and x is there.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    difference: NDArray[np.float64]
    planes: int
    depth: int
    step: int

    @property
    def limit(self) -> float:
        """The size of difference that only a few pixels exceed; 1 where there is none."""
        return float(np.percentile(np.abs(self.difference), 99.8)) or 1.0


def project(before: Volume, after: Volume, channel: int) -> Projection:
    """Projections of a channel, in the memory of a few planes of LARGEST².

    Raises:
        VolumeError: pixels that cannot be read.
    """
    info = before.info
    step, planes = step_of(info.plane_shape), stack(info, channel)
    shape = tuple(math.ceil(side / step) for side in info.plane_shape)
    highest = np.full((2, *shape), np.nan)
    difference = np.zeros(shape)
    for plane in planes:
        pair = [thinned(volume, plane, step).astype(np.float64) for volume in (before, after)]
        highest = np.fmax(highest, pair)
        with np.errstate(invalid="ignore"):  # inf − inf
            change = pair[1] - pair[0]
        difference += np.where(np.isfinite(change), change, 0)
    mean = difference / len(planes)
    return Projection(highest[0], highest[1], mean, len(planes), depth_of(info), step)
