"""The work on one item of a run: it is read, and denoised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from baikal_deploy.denoising.batch import Progress
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.regions import crop_around
from baikal_deploy.denoising.stack import Denoised, Gathered, Stack, Wanted
from baikal_deploy.denoising.steps import Memory
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.denoising.trust import PROBES
from baikal_deploy.errors import NotFinite, VolumeError
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import OnError
from baikal_deploy.run.recipes import Recipes
from baikal_deploy.run.resume.kept import KeptItem
from baikal_deploy.run.unreadable import ReadableVolume, read_crops, read_what_can_be
from baikal_deploy.volumes.base import Volume, WorkItem
from baikal_deploy.volumes.selection import SelectedVolume


@dataclass(frozen=True)
class Found:
    """Pixels that were read for an item, or for some planes of it.

    Attributes:
        numbers: of the planes.
        crop: what is read of each.
        planes: (N, height, width) in raw units.
        guides: of the same shape, or None.
        damaged: numbers of planes that could not be read whole, or whose guides could not.
    """

    numbers: range
    crop: Crop
    planes: Raw
    guides: Raw | None
    damaged: frozenset[int] = frozenset()

    @property
    def wanted_shape(self) -> tuple[int, int, int]:
        """(N, height, width) of what is wanted."""
        return len(self.numbers), *self.crop.wanted_shape

    def some(self, places: slice) -> Self:
        """The planes at these places.

        Args:
            places: along N.
        """
        guides = None if self.guides is None else self.guides[places]
        return replace(self, numbers=self.numbers[places], planes=self.planes[places], guides=guides)


@dataclass(frozen=True)
class Work:
    """The way in which the items of a run are done.

    Attributes:
        recipes: of all planes, with the volume they are of.
        guide: where the planes' guides are read from.
        wanted: what is made of each item, with the dtype of what is written; standard deviations may take
            PROBES times as much again.
        shared_axes: see ``RunConfig.shared_axes``.
        on_error: what becomes of planes that cannot be read or denoised.
    """

    recipes: Recipes
    guide: SelectedVolume | None
    wanted: Wanted
    shared_axes: tuple[str, ...]
    on_error: OnError

    @property
    def counted(self) -> Tally:
        """What was counted of the pixels before, and does not count again."""
        return Tally()

    @property
    def notes(self) -> list[str]:
        """Remarks on what the items are made of, in sentences."""
        return []

    @property
    def unfused(self) -> Self:
        """The same work for results that are then fused with those beside them."""
        wanted = Wanted(np.float32, defects=self.wanted.defects, unfused=True)
        return replace(self, wanted=wanted)

    @property
    def volume(self) -> SelectedVolume:
        """Volume that the planes are read from."""
        return self.recipes.volume

    @property
    def readable(self) -> Volume:
        """The volume, with 0 where it cannot be read if that did not end the run."""
        return self.volume if self.on_error == "stop" else ReadableVolume(self.volume)

    def evaluations(self, item: WorkItem, first: int | None = None) -> int:
        """Network evaluations of planes, or of their regions, as far as is known.

        Args:
            item: of the run.
            first: of so many planes at the beginning; None: of all.
        """
        group = self.recipes.group(item.planes[0])
        return 0 if group is None else self.recipes.evaluations_of(item.planes[:first]) * self.each(group[1])

    def each(self, channel: int) -> int:
        """Evaluations in the place of one: with a map of standard deviations there are probes.

        Args:
            channel: one that is denoised.
        """
        return 1 + (PROBES if self.wanted.std and not self.recipes.models.of(channel).sampler.draws else 0)

    def windows(self, item: WorkItem, predictor: TiledPredictor) -> int:
        """Network windows of one evaluation of an item.

        Args:
            item: of the run.
            predictor: the network.
        """
        crop = self._crop(item)
        return len(predictor.plan(crop.whole).part(crop).windows)

    def _predictor(self, planes: range) -> TiledPredictor:
        """Network of an item's channel; of a copied one any, whose windows make no difference then."""
        group = self.recipes.group(planes[0])
        own = self.recipes.models.used[0] if group is None else self.recipes.models.of(group[1])
        return own.denoiser.predictor

    def read(self, item: WorkItem) -> Found:
        """Read the planes of an item, and their guides.

        Args:
            item: of the run.

        Raises:
            VolumeError: pixels that cannot be read, if that is to end the run.
        """
        crop, numbers = self._crop(item), item.planes
        try:
            planes = read_crops(self.volume, numbers, crop)
            guides = None if self.guide is None else read_crops(self.guide, numbers, crop)
            return Found(numbers, crop, planes, guides)
        except VolumeError:
            if self.on_error == "stop":
                raise
        planes, damaged = read_what_can_be(self.volume, numbers, crop)
        if self.guide is None:
            return Found(numbers, crop, planes, None, frozenset(damaged))
        guides, unguided = read_what_can_be(self.guide, numbers, crop)
        return Found(numbers, crop, planes, guides, frozenset(damaged + unguided))

    def denoise(self, found: Found, progress: Progress, kept: KeptItem) -> Denoised:
        """Denoise an item, but for what a killed run had finished of it.

        Args:
            found: what was read for all of the item.
            progress: see ``Progress``.
            kept: what a killed run had finished of it, and where that is kept.

        Returns:
            All that is to be written of the item, and what to know about it.

        Raises:
            VolumeError: a time point cannot be measured.
            EngineError: see ``Denoiser.run``.
        """
        result = self._recalled(found, kept)
        try:
            for own in self._chunks(found.numbers, kept.planes):
                result.put(own, self._chunk(found.some(own), progress, kept))
                kept.finished(own.stop, result.denoised)
        except BaseException:  # an interrupt, most of all
            with suppress(VolumeError):
                kept.keep()
            raise
        return result.denoised

    def _recalled(self, found: Found, kept: KeptItem) -> Gathered:
        result = Gathered(found.wanted_shape, self.wanted)
        for own, piece in kept.recall(result.denoised):
            result.put(own, piece)
        return result

    def _chunks(self, planes: range, done: int) -> Iterator[slice]:
        """Planes that go through the network together, after the first ones, which are done."""
        together, first = self._predictor(planes).planes, 0
        for _, part in self.recipes.parts(planes):
            last = first + len(part)
            while first < last:
                stop = min(first + together, last)
                if first >= done:
                    yield slice(first, stop)
                first = stop

    def _chunk(self, found: Found, progress: Progress, memory: Memory | None) -> Denoised:
        """Planes of one group; where they cannot be denoised as they are, one by one."""
        if not found.damaged.intersection(found.numbers):
            try:
                return self._denoise(found, progress, memory)
            except NotFinite:
                if self.on_error == "stop":
                    raise
        if len(found.numbers) == 1:
            return self._given_up(found)
        result = Gathered(found.wanted_shape, self.wanted)
        for place in range(len(found.numbers)):
            one = slice(place, place + 1)
            result.put(one, self._chunk(found.some(one), progress, None))
        return result.denoised

    def _denoise(self, found: Found, progress: Progress, memory: Memory | None) -> Denoised:
        group, of_whole = self.recipes.group(found.numbers[0]), self.volume.planes_of_whole
        if group is None:
            return Denoised.copied(found.crop.trimmed(found.planes), self.wanted, Tally())
        fields = of_whole(found.numbers, self.shared_axes)
        stack = Stack(found.planes, of_whole(found.numbers), found.guides, fields)
        recipe, run = self.recipes.of(group), self.recipes.models.of(group[1]).denoiser.run
        return run(recipe, stack, found.crop, self.wanted, progress=progress, memory=memory)

    def _given_up(self, found: Found) -> Denoised:
        """A plane that cannot be denoised: as it is, or 0."""
        pixels, numbers = found.crop.trimmed(found.planes), tuple(found.numbers)
        if self.on_error == "zero":
            return Denoised.zeroed(pixels, self.wanted, Tally(pixels.size, zeroed=numbers))
        return Denoised.copied(pixels, self.wanted, Tally(pixels.size, kept_raw=numbers))

    def _crop(self, item: WorkItem) -> Crop:
        shape, noise_origin = self.volume.info.plane_shape, self.volume.origin
        if item.region is None:
            return Crop.uncut(shape, noise_origin)
        plan = self._predictor(item.planes).plan(shape)
        return crop_around(item.region, plan, self.recipes.halo(item.planes), noise_origin)
