"""Planes to denoise, what is wanted of them, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.sample import sampled
from baikal_deploy.pixels.arrays import Planes, Raw
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.pixels.dtypes import converted

Defects = Literal["replace", "keep"]
"""Fate of hot and dead pixels in the result; the network sees them replaced."""


@dataclass(frozen=True)
class Stack:
    """Planes to denoise, and what belongs to each.

    Attributes:
        pixels: (N, height, width) in raw units: what is read of the planes.
        indices: numbers of the planes in their volume.
        guides: another denoiser's output for them, of the same shape, in raw units; None: there is none.
        fields: numbers of their noise fields, which planes with the same number share; None: the indices.
    """

    pixels: Raw
    indices: Sequence[int]
    guides: Raw | None = None
    fields: Sequence[int] | None = None

    @property
    def noise_fields(self) -> Sequence[int]:
        """Numbers of the planes' noise fields."""
        return self.indices if self.fields is None else self.fields

    def sample(self) -> list[Raw]:
        """A bounded sample of the planes, (H, W) windows in raw units."""
        count, *shape = self.pixels.shape
        return sampled(lambda windows: [self.pixels[window] for window in windows], count, (*shape,))

    def some(self, places: Sequence[int]) -> Self:
        """A copy of the planes at these places in the stack.

        Args:
            places: counted from 0.
        """
        return replace(
            self,
            pixels=self.pixels[places],
            indices=[self.indices[place] for place in places],
            guides=None if self.guides is None else self.guides[places],
            fields=[self.noise_fields[place] for place in places],
        )


@dataclass(frozen=True)
class Wanted:
    """Description of what is to be made of planes.

    Attributes:
        dtype: pixel type of the denoised planes, which keep their units.
        std: whether their standard deviation is asked for.
        suspect: whether it is asked where the result contradicts the data.
        defects: whether hot and dead pixels are replaced by what is around them, or keep their values.
        guard: whether pixels where it does, and those brighter than the model knows, are counted at least.
        unfused: whether the planes are for fusion with their neighbours (``fusion``): float32 on the
            network's scale, with NaN where a pixel stays what it is, and infinite where it becomes 0.
    """

    dtype: DTypeLike
    std: bool = False
    suspect: bool = False
    defects: Defects = "replace"
    guard: bool = True
    unfused: bool = False


@dataclass(frozen=True)
class Denoised:
    """Planes that were denoised, as far as they were wanted.

    Attributes:
        planes: (N, H, W) in raw units; pixels that say nothing are those of the input.
        std: their standard deviation in raw units, float32 (N, H, W); None: not asked for, or 0.
        suspect: 1 where they contradict the data, uint8 (N, H, W); None: not asked for, or 0.
        counts: what to know about the pixels.
    """

    planes: Raw
    std: Planes | None
    suspect: NDArray[np.uint8] | None
    counts: Tally

    @classmethod
    def copied(cls, planes: Raw, wanted: Wanted, counts: Tally) -> Self:
        """Planes as they are, in another pixel type; what that changes is added to the counts.

        Args:
            planes: (N, H, W) in raw units.
            wanted: of the copies.
            counts: what else to know about the pixels.
        """
        if wanted.unfused:
            return cls(np.full(planes.shape, np.nan, np.float32), None, None, counts)
        result, changed = converted(planes, wanted.dtype)
        return cls(result, None, None, changed + counts)

    @classmethod
    def zeroed(cls, planes: Raw, wanted: Wanted, counts: Tally) -> Self:
        """Zeros in the place of planes.

        Args:
            planes: (N, H, W).
            wanted: of the zeros.
            counts: what to know about the pixels.
        """
        nothing = np.inf if wanted.unfused else 0
        return cls(np.full(planes.shape, nothing, wanted.dtype), None, None, counts)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that were asked for, by name."""
        found = {"planes": self.planes, "std": self.std, "suspect": self.suspect}
        return {name: pixels for name, pixels in found.items() if pixels is not None}


def in_raw_units(fused: Planes, planes: Raw, intensity: IntensityMap | None, wanted: Wanted) -> Denoised:
    """Results that were fused, in raw units: rounded once, here.

    Args:
        fused: (N, H, W) on the network's scale; NaN where a pixel stays what it is, infinite where it becomes
            0.
        planes: as they were, (N, H, W) in raw units; only those pixels matter.
        intensity: of their channel; None: there are no results.
        wanted: of the result.
    """
    known = np.isfinite(fused)
    if intensity is not None and known.any():
        planes = np.where(known, intensity.raw(np.where(known, fused, 0)), planes)
    zeroed = np.isinf(fused)
    return Denoised.copied(np.where(zeroed, 0, planes) if zeroed.any() else planes, wanted, Tally())


class Gathered:
    """Denoised planes that are put together as they come; an item's are too large to be held twice.

    Arguments:
        shape: (N, H, W).
        wanted: of the planes.

    Attributes:
        denoised: what was put in, in arrays for all planes; the counts are those of the planes so far.
    """

    def __init__(self, shape: tuple[int, ...], wanted: Wanted) -> None:
        self.denoised = Denoised(
            np.empty(shape, wanted.dtype),
            np.zeros(shape, np.float32) if wanted.std else None,
            np.zeros(shape, np.uint8) if wanted.suspect else None,
            Tally(),
        )

    def put(self, places: slice | Sequence[int], some: Denoised) -> None:
        """Take in what was made of the planes at these places.

        Args:
            places: in the whole, along N.
            some: the planes at these places, with their counts.
        """
        own = self.denoised.arrays
        for name, pixels in some.arrays.items():
            own[name][places] = pixels
        self.denoised = replace(self.denoised, counts=self.denoised.counts + some.counts)
