"""The second half of a run that fuses: results are read with those beside them, averaged, and written.

No network is asked. A pixel is rounded once, here. What holds no result is read from the input again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from baikal_deploy.denoising.batch import Progress
from baikal_deploy.denoising.compared import Result, filled
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.fusion import Fused, fuse, sides_of
from baikal_deploy.denoising.ghosts import ghosts
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.regions import grown, planes_around, results_around
from baikal_deploy.denoising.stack import Denoised, Gathered, in_raw_units
from baikal_deploy.denoising.trust import REACH as MASK_REACH
from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.gate import NEIGHBOURS, Fuse, Gate
from baikal_deploy.pixels.arrays import Plane, Planes, Raw
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.gates import rows
from baikal_deploy.run.items import Found, Work
from baikal_deploy.run.resume.kept import KeptItem
from baikal_deploy.run.unreadable import read_crops, read_what_can_be
from baikal_deploy.volumes.base import Volume, WorkItem

NOTHING = Tally()


@dataclass(frozen=True, kw_only=True)
class FoundResults(Found):
    """Results that were read for an item; ``planes`` are those of the input, or 0 where none is needed.

    Attributes:
        results: (N, height, width) on the network's scale; see ``Wanted.unfused``.
        around: what of whole planes they are, and what of that is fused.
        fused: what is fused, and what of it is wanted: all, unless a mask is.
    """

    results: Planes
    around: Crop
    fused: Crop


@dataclass(frozen=True)
class Fusing(Work):
    """The way in which the items of a run are fused.

    Attributes:
        results: of all planes, each by itself; see ``Wanted.unfused``.
        axes: along which they are fused.
        before: what was counted when they were made.
        rounded: variance of what they were rounded by, in raw units.
        growing: see ``rows``.
    """

    results: Volume
    axes: Fuse
    before: Tally
    rounded: float = 0.0
    growing: str = ""

    @classmethod
    def of(
        cls,
        work: Work,
        results: Volume,
        axes: Fuse,
        before: Tally = NOTHING,
        rounded: float = 0.0,
        growing: str = "",
    ) -> Self:
        """The second half of a run.

        Args:
            work: the run, with what is wanted in the end.
            results, axes, before, rounded, growing: see the class.
        """
        own = work.recipes, work.guide, work.wanted, work.shared_axes, work.on_error
        return cls(*own, results, axes, before, rounded, growing)

    @property
    def counted(self) -> Tally:
        """What was counted when the results were made."""
        return replace(self.before, suspect=0) if self.wanted.suspect else self.before

    @property
    def notes(self) -> list[str]:
        """What to know of the results, in sentences."""
        if not self.rounded:
            return []
        return [
            "the results that were fused had been rounded to integers, which counts as noise that is left in "
            "them; without --from, pixels are rounded once"
        ]

    def each(self, channel: int) -> int:
        """No evaluations: no network is asked.

        Args:
            channel: one that is denoised.
        """
        return 0

    def evaluations(self, item: WorkItem, first: int | None = None) -> int:
        """None: no network is asked.

        Args:
            item: of the run.
            first: of so many planes.
        """
        return 0

    def read(self, item: WorkItem) -> FoundResults:
        """Read the results of an item, and its planes where they are needed: without a result, or for a mask.

        Args:
            item: of the run.

        Raises:
            VolumeError: pixels that cannot be read, if that is to end the run.
        """
        shape = self.results.info.plane_shape
        region = item.region or (slice(0, shape[0]), slice(0, shape[1]))
        fused = Crop(shape, grown(region, self._margin(item), shape), region)
        around = self._around(item.planes, fused)
        results = read_crops(self.results, item.planes, around)
        needed = np.isnan(around.trimmed(results)).any(axis=(1, 2)) | self.wanted.suspect
        crop = Crop(shape, region, region)
        if self.wanted.suspect:
            crop = replace(planes_around(fused.read, shape), wanted=region)
        height, width = crop.shape
        planes = np.zeros((len(item.planes), height, width), self.volume.info.dtype)
        for place in np.flatnonzero(needed):
            planes[place] = self._original(item.planes[place], crop)
        return FoundResults(item.planes, crop, planes, None, results=results, around=around, fused=fused)

    def denoise(self, found: Found, progress: Progress, kept: KeptItem) -> Denoised:
        """Fuse an item.

        Args:
            found: what ``read`` gave.
            progress: is told nothing, as no network is asked.
            kept: nothing is: it takes a moment.

        Returns:
            All that is to be written of the item; only what conversion does is counted, and suspect pixels.

        Raises:
            VolumeError: a result cannot be read.
        """
        assert isinstance(found, FoundResults)
        result, around = Gathered(found.wanted_shape, self.wanted), found.around
        read = dict(zip(found.numbers, found.results, strict=True))

        @lru_cache(maxsize=2 * sum(NEIGHBOURS.values()) + 1)
        def beside(number: int) -> Result:
            plane: Plane = read[number] if number in read else read_crops(self.results, [number], around)[0]
            return self._ready(number, plane, around)

        for place, number in enumerate(found.numbers):
            one = slice(place, place + 1)
            fused, std = self._fused(number, beside, found, progress)
            result.put(one, self._finished(number, fused, std, found.planes[one], found))
        return result.denoised

    def _margin(self, item: WorkItem) -> int:
        """Pixels around a region that are fused for its mask."""
        return MASK_REACH + self.recipes.halo(item.planes) if self.wanted.suspect else 0

    def _original(self, plane: int, crop: Crop) -> Raw:
        try:
            found = read_crops(self.volume, [plane], crop)
        except VolumeError:
            if self.on_error == "stop":
                raise
            found, _ = read_what_can_be(self.volume, [plane], crop)
        original: Raw = found[0]
        return original

    def _around(self, planes: range, fused: Crop) -> Crop:
        """What is read of results for a part of planes to be fused."""
        return results_around(fused.read, fused.whole)

    def _ready(self, number: int, plane: Plane, around: Crop) -> Result:
        """A result with the noise that is left in it, if it is to be compared with others."""
        recipe, gate = self._recipe(number, plane), self._gate(number)
        if recipe is None or gate is None:
            return Result(plane, np.empty((0, 0), np.float32))
        rounding = self.rounded / recipe.measurement.intensity.half**2
        return Result.of(plane, recipe.variance(filled(plane)), gate, rounding)

    def _fused(
        self, number: int, result: Callable[[int], Result], found: FoundResults, progress: Progress
    ) -> tuple[Planes, Planes | None]:
        """A plane's result with what its neighbours know, (1, height, width) on the network's scale.

        With it, in raw units, its standard deviation, if that is wanted.
        """
        return found.around.trimmed(self._joined(number, result).plane[None]), None

    def _joined(self, number: int, result: Callable[[int], Result]) -> Fused:
        own, gate = result(number), self._gate(number)
        if gate is None or not own.left.size:
            return fuse(own, [])
        sides = {
            axis: [[result(one) for one in side] for side in both]
            for axis, both in rows(self.volume.info, number, self.axes, self.growing).items()
            if gate.allowed[axis]
        }
        return fuse(own, sides_of(gate, sides))

    def _gate(self, number: int) -> Gate | None:
        """The gate of a plane's channel; None where nothing is fused."""
        channel = self.volume.info.channel(number)
        if channel not in self.recipes.channels:
            return None
        gate = self.recipes.first(channel).measurement.gate
        return None if gate is None or gate.is_closed else gate

    def _finished(
        self, number: int, fused: Planes, std: Planes | None, planes: Raw, found: FoundResults
    ) -> Denoised:
        """What is wanted of a plane, in raw units."""
        recipe, own = self._recipe(number, fused), found.fused.trimmed(fused)
        intensity = None if recipe is None else recipe.measurement.intensity
        denoised = in_raw_units(own, found.crop.trimmed(planes), intensity, self.wanted)
        if std is not None:
            denoised = replace(denoised, std=np.where(np.isfinite(own), found.fused.trimmed(std), 0))
        if recipe is None or not self.wanted.suspect:
            return denoised
        crop = replace(found.crop, wanted=found.fused.read)
        suspect = found.fused.trimmed(ghosts(recipe, planes, crop, fused)).astype(np.uint8)
        counts = denoised.counts + Tally(suspect=int(suspect.sum()))
        return replace(denoised, suspect=suspect, counts=counts)

    def _recipe(self, number: int, results: Planes) -> Recipe | None:
        """The recipe of a plane; None where there are no results, as of one that could not be measured."""
        group = self.recipes.group(number)
        return None if group is None or not np.isfinite(results).any() else self.recipes.of(group)
