"""What is done with one item of a run: read, and denoised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from baikal_deploy.denoising.batch import Progress
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.regions import crop_around
from baikal_deploy.denoising.stack import Denoised, Gathered, Stack, Wanted
from baikal_deploy.denoising.steps import Memory
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
    """What is read for an item.

    Attributes:
        crop: of the planes, which is read.
        planes: (N, height, width) in raw units.
        guides: of the same shape, or None.
        damaged: numbers of planes that could not be read whole, or whose guides could not.
    """

    crop: Crop
    planes: Raw
    guides: Raw | None
    damaged: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Work:
    """How the items of a run are done.

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
    def volume(self) -> SelectedVolume:
        """Where the planes are read from."""
        return self.recipes.volume

    @property
    def readable(self) -> Volume:
        """The volume, with 0 where it cannot be read if that did not end the run."""
        return self.volume if self.on_error == "stop" else ReadableVolume(self.volume)

    def evaluations(self, item: WorkItem, first: int | None = None) -> int:
        """Network evaluations of planes, or of their regions, as far as is known.

        Args:
            first: of so many planes at the beginning; None: of all.
        """
        return self.recipes.evaluations_of(item.planes[:first]) * self.each

    @property
    def each(self) -> int:
        """Evaluations in the place of one: with a map of standard deviations there are probes."""
        return 1 + (PROBES if self.wanted.std and not self.recipes.sampler.draws else 0)

    def windows(self, item: WorkItem) -> int:
        """Network windows of one such evaluation."""
        predictor, crop = self.recipes.denoiser.predictor, self._crop(item)
        return len(predictor.plan(crop.whole).part(crop).windows)

    def read(self, item: WorkItem) -> Found:
        """Raises VolumeError: pixels that cannot be read, if that is to end the run."""
        crop = self._crop(item)
        try:
            planes = read_crops(self.volume, item.planes, crop)
            guides = None if self.guide is None else read_crops(self.guide, item.planes, crop)
            return Found(crop, planes, guides)
        except VolumeError:
            if self.on_error == "stop":
                raise
        planes, damaged = read_what_can_be(self.volume, item.planes, crop)
        if self.guide is None:
            return Found(crop, planes, None, frozenset(damaged))
        guides, unguided = read_what_can_be(self.guide, item.planes, crop)
        return Found(crop, planes, guides, frozenset(damaged + unguided))

    def denoise(self, item: WorkItem, found: Found, progress: Progress, kept: KeptItem) -> Denoised:
        """What is to be written of an item, and what to know about it.

        Args:
            kept: what a killed run had finished of it, and where that is kept.

        Raises:
            VolumeError, EngineError: a time point cannot be measured; see ``Denoiser.run``.
        """
        result = self._recalled(item, found.crop, kept)
        try:
            for own in self._chunks(item.planes, kept.planes):
                result.put(own, self._chunk(item.planes, found, own, progress, kept))
                kept.finished(own.stop, result.denoised)
        except BaseException:  # an interrupt, most of all
            with suppress(VolumeError):
                kept.keep()
            raise
        return result.denoised

    def _recalled(self, item: WorkItem, crop: Crop, kept: KeptItem) -> Gathered:
        result = Gathered((len(item.planes), *crop.wanted_shape), self.wanted)
        for own, piece in kept.recall(result.denoised):
            result.put(own, piece)
        return result

    def _chunks(self, planes: range, done: int) -> Iterator[slice]:
        """Planes that go through the network together, after the first ones, which are done."""
        batch, first = self.recipes.denoiser.predictor.batch, 0
        for _, part in self.recipes.parts(planes):
            last = first + len(part)
            while first < last:
                stop = min(first + batch, last)
                if first >= done:
                    yield slice(first, stop)
                first = stop

    def _chunk(
        self, planes: range, found: Found, own: slice, progress: Progress, memory: Memory | None
    ) -> Denoised:
        """Planes of one group; where they cannot be denoised as they are, one by one."""
        if not found.damaged.intersection(planes[own]):
            try:
                return self._denoise(planes, found, own, progress, memory)
            except NotFinite:
                if self.on_error == "stop":
                    raise
        if own.stop - own.start == 1:
            return self._given_up(planes[own.start], found.crop.trimmed(found.planes[own]))
        result = Gathered((own.stop - own.start, *found.crop.wanted_shape), self.wanted)
        for place in range(own.stop - own.start):
            one = slice(own.start + place, own.start + place + 1)
            result.put([place], self._chunk(planes, found, one, progress, None))
        return result.denoised

    def _denoise(
        self, planes: range, found: Found, own: slice, progress: Progress, memory: Memory | None
    ) -> Denoised:
        group, volume = self.recipes.group(planes[own.start]), self.volume
        if group is None:
            return Denoised.copied(found.crop.trimmed(found.planes[own]), self.wanted.dtype, Tally())
        stack = Stack(
            found.planes[own],
            volume.planes_of_whole(planes[own]),
            None if found.guides is None else found.guides[own],
            volume.planes_of_whole(planes[own], self.shared_axes),
        )
        recipe = self.recipes.of(group)
        return self.recipes.denoiser.run(
            recipe, stack, found.crop, self.wanted, progress=progress, memory=memory
        )

    def _given_up(self, plane: int, pixels: Raw) -> Denoised:
        """A plane (1, H, W) that cannot be denoised: as it is, or 0."""
        if self.on_error == "zero":
            zeros = np.zeros(pixels.shape, self.wanted.dtype)
            return Denoised(zeros, None, None, Tally(pixels.size, zeroed=(plane,)))
        return Denoised.copied(pixels, self.wanted.dtype, Tally(pixels.size, kept_raw=(plane,)))

    def _crop(self, item: WorkItem) -> Crop:
        shape, noise_origin = self.volume.info.plane_shape, self.volume.origin
        if item.region is None:
            return Crop.uncut(shape, noise_origin)
        plan = self.recipes.denoiser.predictor.plan(shape)
        return crop_around(item.region, plan, self.recipes.halo(item.planes), noise_origin)
