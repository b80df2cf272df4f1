"""What is done with one item of a run: read, and denoised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from baikal_deploy.batch import Progress
from baikal_deploy.damage import OnError, ReadableVolume, read_parts, read_what_can_be
from baikal_deploy.errors import NotFinite, VolumeError
from baikal_deploy.intensity import Raw
from baikal_deploy.maps import PROBES, Maps
from baikal_deploy.pixel_types import converted
from baikal_deploy.recipes import Recipes
from baikal_deploy.regions import Part
from baikal_deploy.tally import Tally
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

    def evaluations(self, item: WorkItem) -> int:
        """Network evaluations of planes, or of their regions, as far as is known."""
        probes = PROBES if self.wants_std and not self.recipes.sampler.draws else 0
        return self.recipes.evaluations_of(item.planes) * (1 + probes)

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

    def denoise(self, item: WorkItem, found: Found, maps: Maps, progress: Progress) -> tuple[Raw, Tally]:
        """What is to be written of an item, and what to know about it.

        Args:
            maps: of the item, to be filled.

        Raises:
            VolumeError, EngineError: a time point cannot be measured; see ``Denoiser.run``.
        """
        if not found.damaged:
            try:
                return self._denoise(item, found, maps, progress)
            except NotFinite:
                if self.on_error == "stop":
                    raise
        return self._one_by_one(item, found, maps, progress)

    def _denoise(self, item: WorkItem, found: Found, maps: Maps, progress: Progress) -> tuple[Raw, Tally]:
        part = self._part(item)
        wanted = found.planes[(slice(None), *part.inner)]
        result, tally = np.empty(wanted.shape, self.dtype), Tally()
        for group, planes in self.recipes.parts(item.planes):
            own = slice(planes.start - item.planes.start, planes.stop - item.planes.start)
            if group is None:
                result[own], counted = converted(wanted[own], self.dtype)
            else:
                result[own], counted = self.recipes.denoiser.run(
                    self.recipes.of(group),
                    found.planes[own],
                    self.volume.planes_of_whole(planes),
                    None if found.guides is None else found.guides[own],
                    progress,
                    maps.part(own),
                    part,
                    origin=self.volume.origin,
                    dtype=self.dtype,
                    fields=self.volume.planes_of_whole(planes, self.shared_axes),
                )
            tally += counted
        return result, tally

    def _one_by_one(self, item: WorkItem, found: Found, maps: Maps, progress: Progress) -> tuple[Raw, Tally]:
        """Each plane alone, and those that cannot be denoised as they are, or 0."""
        wanted = found.planes[(slice(None), *self._part(item).inner)]
        result, tally = np.zeros(wanted.shape, self.dtype), Tally()
        for number, plane in enumerate(item.planes):
            own = slice(number, number + 1)
            one = replace(item, planes=item.planes[own])
            guides = None if found.guides is None else found.guides[own]
            try:
                if plane in found.damaged:
                    raise NotFinite
                result[own], counted = self._denoise(
                    one, Found(found.planes[own], guides), maps.part(own), progress
                )
            except NotFinite:
                result[own], counted = self._given_up(plane, wanted[own])
            tally += counted
        return result, tally

    def _given_up(self, plane: int, pixels: Raw) -> tuple[Raw, Tally]:
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
