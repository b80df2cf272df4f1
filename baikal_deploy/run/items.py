"""What is done with one item of a run: read, and denoised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from baikal_deploy.denoising.batch import Progress
from baikal_deploy.denoising.regions import Part
from baikal_deploy.denoising.steps import Memory
from baikal_deploy.denoising.trust import PROBES, Maps
from baikal_deploy.errors import NotFinite, VolumeError
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.pixels.dtypes import converted
from baikal_deploy.run.config import OnError
from baikal_deploy.run.recipes import Recipes
from baikal_deploy.run.resume.kept import KeptItem
from baikal_deploy.run.unreadable import ReadableVolume, read_parts, read_what_can_be
from baikal_deploy.volumes.base import Volume, WorkItem
from baikal_deploy.volumes.selection import SelectedVolume


@dataclass(frozen=True)
class Found:
    """What is read for an item.

    Attributes:
        planes: (N, height, width) in raw units.
        guides: of the same shape, or None.
        damaged: numbers of planes that could not be read whole, or whose guides could not.
    """

    planes: Raw
    guides: Raw | None
    damaged: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Work:
    """How the items of a run are done.

    Attributes:
        recipes: of all planes, with the volume they are of.
        guide: where the planes' guides are read from.
        dtype: of what is written.
        shared_axes: see ``RunConfig.shared_axes``.
        wants_std: whether a map of standard deviations is made, which takes PROBES times as much again.
        on_error: what becomes of planes that cannot be read or denoised.
    """

    recipes: Recipes
    guide: SelectedVolume | None
    dtype: np.dtype[Any]
    shared_axes: tuple[str, ...]
    wants_std: bool
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
        return 1 + (PROBES if self.wants_std and not self.recipes.sampler.draws else 0)

    def windows(self, item: WorkItem) -> int:
        """Network windows of one such evaluation."""
        predictor, crop = self.recipes.denoiser.predictor, self._part(item).crop
        return len(predictor.plan(crop.whole).part(crop).windows)

    def read(self, item: WorkItem) -> Found:
        """Raises VolumeError: pixels that cannot be read, if that is to end the run."""
        part = self._part(item)
        try:
            planes = read_parts(self.volume, item.planes, part)
            return Found(planes, None if self.guide is None else read_parts(self.guide, item.planes, part))
        except VolumeError:
            if self.on_error == "stop":
                raise
        planes, damaged = read_what_can_be(self.volume, item.planes, part)
        if self.guide is None:
            return Found(planes, None, frozenset(damaged))
        guides, unguided = read_what_can_be(self.guide, item.planes, part)
        return Found(planes, guides, frozenset(damaged + unguided))

    def denoise(
        self, item: WorkItem, found: Found, maps: Maps, progress: Progress, kept: KeptItem
    ) -> tuple[Raw, Tally]:
        """What is to be written of an item, and what to know about it.

        Args:
            maps: of the item, to be filled.
            kept: what a killed run had finished of it, and where that is kept.

        Raises:
            VolumeError, EngineError: a time point cannot be measured; see ``Denoiser.run``.
        """
        inner = self._part(item).inner
        result = np.empty((len(item.planes), *found.planes[(slice(0), *inner)].shape[1:]), self.dtype)
        done, tally = kept.recall(result, maps)
        try:
            for own in self._chunks(item.planes, done):
                result[own], counted = self._chunk(item, found, own, maps.part(own), progress, kept)
                tally += counted
                kept.finished(own.stop, result, maps, tally)
        except BaseException:  # an interrupt, most of all
            with suppress(VolumeError):
                kept.keep()
            raise
        return result, tally

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
        self, item: WorkItem, found: Found, own: slice, maps: Maps, progress: Progress, memory: Memory | None
    ) -> tuple[Raw, Tally]:
        """Planes of one group; where they cannot be denoised as they are, one by one."""
        planes = item.planes[own]
        if not found.damaged.intersection(planes):
            try:
                return self._denoise(item, found, own, maps, progress, memory)
            except NotFinite:
                if self.on_error == "stop":
                    raise
        if len(planes) == 1:
            return self._given_up(planes[0], found.planes[own][(slice(None), *self._part(item).inner)])
        ones = [slice(number, number + 1) for number in range(own.start, own.stop)]
        done = [
            self._chunk(item, found, one, maps.part(slice(number, number + 1)), progress, None)
            for number, one in enumerate(ones)
        ]
        return np.concatenate([pixels for pixels, _ in done]), sum((tally for _, tally in done), Tally())

    def _denoise(
        self, item: WorkItem, found: Found, own: slice, maps: Maps, progress: Progress, memory: Memory | None
    ) -> tuple[Raw, Tally]:
        part, planes = self._part(item), item.planes[own]
        group = self.recipes.group(planes[0])
        if group is None:
            return converted(found.planes[own][(slice(None), *part.inner)], self.dtype)
        return self.recipes.denoiser.run(
            self.recipes.of(group),
            found.planes[own],
            self.volume.planes_of_whole(planes),
            None if found.guides is None else found.guides[own],
            progress,
            maps,
            part,
            origin=self.volume.origin,
            dtype=self.dtype,
            fields=self.volume.planes_of_whole(planes, self.shared_axes),
            memory=memory,
        )

    def _given_up(self, plane: int, pixels: Raw) -> tuple[Raw, Tally]:
        """A plane (1, H, W) that cannot be denoised: as it is, or 0."""
        if self.on_error == "zero":
            return np.zeros(pixels.shape, self.dtype), Tally(pixels.size, zeroed=(plane,))
        kept, counted = converted(pixels, self.dtype)
        return kept, counted + Tally(pixels.size, kept_raw=(plane,))

    def _part(self, item: WorkItem) -> Part:
        shape = self.volume.info.plane_shape
        if item.region is None:
            return Part.whole(shape)
        plan = self.recipes.denoiser.predictor.plan(shape)
        return Part.around(item.region, plan, self.recipes.halo(item.planes))
