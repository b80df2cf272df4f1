"""The recipes of a volume's planes: which planes are measured together, and what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.suiting import Suited
from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.sample import Window, sampled
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.run.config import OnError
from baikal_deploy.run.models.loaded import Loaded, Models
from baikal_deploy.run.unreadable import read_windows
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.selection import SelectedVolume

CHOSEN = "chosen model"
"""Key of a measurement's record for the model that was chosen for its channel."""

Group = tuple[int | None, int]
"""Planes that share one measurement: a time point (None: all of them), and a channel."""


def group_of(info: VolumeInfo, plane: int, *, by_time: bool) -> Group:
    """The group of a plane; without an axis t there is one time point.

    Args:
        info: of the volume.
        plane: its number in the volume.
        by_time: each time point is a group of its own.
    """
    position = dict(zip((axis.name for axis in info.axes), info.position(plane), strict=False))
    return (position.get("t", 0) if by_time else None), position.get("c", 0)


def plane_of(info: VolumeInfo, group: Group, number: int) -> int:
    """The plane of a group with a number, counted in order.

    Args:
        info: of the volume.
        group: of that volume.
        number: in the group.
    """
    along = _along(info, group)
    position = np.unravel_index(number, tuple(map(len, along)))
    chosen = [int(indices[at]) for indices, at in zip(along, position, strict=True)]
    return int(np.ravel_multi_index(chosen, info.shape[:-2])) if chosen else number


def group_size(info: VolumeInfo, group: Group) -> int:
    """Number of planes of a group.

    Args:
        info: of the volume.
        group: of that volume.
    """
    return prod(map(len, _along(info, group)))


def _along(info: VolumeInfo, group: Group) -> list[range]:
    """A group's indices on the leading axes."""
    chosen = dict(zip("tc", group, strict=True))
    found = [(chosen.get(axis.name), size) for axis, size in zip(info.axes[:-2], info.shape, strict=False)]
    return [range(size) if index is None else range(index, index + 1) for index, size in found]


def sample(volume: Volume, group: Group, on_error: OnError = "stop") -> list[Raw]:
    """A bounded sample of a group: (H, W) windows, the same however the volume is chunked.

    Args:
        volume: that the group is of.
        group: of that volume.
        on_error: windows that cannot be read end the run ("stop"), or are left out.

    Raises:
        VolumeError: see ``unreadable.read_windows``.
    """

    def read(windows: list[Window]) -> list[Raw]:
        own = [(plane_of(volume.info, group, number), y, x) for number, y, x in windows]
        return read_windows(volume, own, on_error)

    return sampled(read, group_size(volume.info, group), volume.info.plane_shape)


@dataclass
class Recipes:
    """The recipes of a volume's planes. A group is measured when it is first needed.

    Attributes:
        volume: the volume.
        models: of the channels that are denoised; the others have no recipe.
        seed: for ``Denoiser.recipe``.
        by_time: whether each time point is measured by itself; for volumes with an axis t.
        on_error: what becomes of windows of a sample that cannot be read.
        known: what was found so far.
    """

    volume: SelectedVolume
    models: Models
    seed: int
    by_time: bool
    on_error: OnError = "stop"
    known: dict[Group, Recipe] = field(default_factory=dict)
    _first: dict[int, Group] = field(default_factory=dict)

    @property
    def channels(self) -> Collection[int]:
        """Numbers of the channels that are denoised."""
        return self.models.channels

    def groups(self, channel: int) -> Iterator[Group]:
        """All groups of a channel, in order.

        Args:
            channel: its index.
        """
        times = dict(zip((axis.name for axis in self.volume.info.axes), self.volume.info.shape, strict=True))
        return ((t, channel) for t in (range(times.get("t", 1)) if self.by_time else (None,)))

    def group(self, plane: int) -> Group | None:
        """The group of a plane; None for one that is copied.

        Args:
            plane: its number in the volume.
        """
        group = group_of(self.volume.info, plane, by_time=self.by_time)
        return group if group[1] in self.channels else None

    def parts(self, planes: range) -> Iterator[tuple[Group | None, range]]:
        """Planes of one channel, split where another group begins; copied ones have none.

        Args:
            planes: their numbers in the volume.
        """
        if not self.by_time:  # an item has one channel
            yield from [(self.group(planes[0]), planes)] if planes else []
            return
        first = 0
        for group, members in groupby(planes, self.group):
            yield group, planes[first : (first := first + len(list(members)))]

    def add(self, measurements: Mapping[Group, Mapping[str, Any]]) -> None:
        """Take over what was measured before, as ``Measurement.record`` has it.

        Args:
            measurements: by group.
        """
        for group, record in measurements.items():
            if CHOSEN in record:
                self.models.chosen[group[1]] = Suited(**record[CHOSEN])
            own = {name: value for name, value in record.items() if name != CHOSEN}
            self._add(group, Measurement.from_record(own))

    @property
    def measurements(self) -> dict[Group, dict[str, Any]]:
        """Measurements so far, as ``add`` takes them."""
        return {group: self._measurement(group) for group in self.known}

    def _measurement(self, group: Group) -> dict[str, Any]:
        """A measurement, with the model that was chosen for its channel, if one was."""
        found = self.models.chosen.get(group[1])
        chosen = {} if found is None else {CHOSEN: asdict(found)}
        return self.known[group].measurement.record() | chosen

    def measured(self, planes: range) -> Iterator[tuple[Group, dict[str, Any]]]:
        """The measurements that some planes need, one by one; what nobody has measured is measured.

        Args:
            planes: their numbers in the volume.

        Raises:
            VolumeError: a group cannot be read, and is to end the run.
            EngineError: the network failed.
        """
        groups = dict.fromkeys(group for group, _ in self.parts(planes) if group is not None)
        for group in filter(self._can_be_measured, groups):
            yield group, self._measurement(group)

    def _can_be_measured(self, group: Group) -> bool:
        try:
            self.of(group)
        except VolumeError:
            if self.on_error == "stop":
                raise
            return False
        return True

    def of(self, group: Group) -> Recipe:
        """The recipe of a group, which is measured if nobody has.

        Args:
            group: of a denoised channel.

        Raises:
            VolumeError: the group cannot be read.
            EngineError: the network failed.
        """
        if group not in self.known:
            own = self._model(group[1])
            self._add(group, own.denoiser.measure(sample(self.volume, group, self.on_error), own.sampler))
        return self.known[group]

    def _model(self, channel: int) -> Loaded:
        """The model of a channel, which is chosen if nobody has."""
        if self.models.is_open(channel):
            self.models.choose(channel, sample(self.volume, (None, channel), self.on_error))
        return self.models.of(channel)

    def _add(self, group: Group, measurement: Measurement) -> None:
        own = self.models.of(group[1])
        self.known[group] = own.denoiser.recipe(own.sampler, measurement, self.seed)

    def first_group(self, channel: int) -> Group:
        """A channel, or its first time point that can be measured, which stands for those not measured yet.

        Args:
            channel: its index; one that is denoised.

        Raises:
            VolumeError: see ``of``.
            EngineError: see ``of``.
        """
        if channel not in self._first:
            own = self.groups(channel)
            self._first[channel] = next(filter(self._can_be_measured, own), next(self.groups(channel)))
        return self._first[channel]

    def first(self, channel: int) -> Recipe:
        """The recipe of ``first_group``.

        Args:
            channel: its index; one that is denoised.

        Raises:
            VolumeError: see ``of``.
            EngineError: see ``of``.
        """
        return self.of(self.first_group(channel))

    def nfe(self, group: Group | None) -> int:
        """Network evaluations per plane, as far as is known.

        Args:
            group: None: planes that are copied.
        """
        if group is None:
            return 0
        return (self.known.get(group) or self.first(group[1])).nfe

    def halo(self, planes: range) -> int:
        """Largest halo of some planes' samplers, in pixels, as far as is known; see ``Resolved.halo``.

        Args:
            planes: their numbers in the volume.
        """
        channels = {group[1] for group, _ in self.parts(planes) if group is not None}
        return max((self.first(channel).sampler.halo for channel in channels), default=0)

    def evaluations_of(self, planes: range) -> int:
        """Network evaluations of some planes, as far as is known.

        Args:
            planes: their numbers in the volume.
        """
        return sum(len(part) * self.nfe(group) for group, part in self.parts(planes))

    def evaluations(self, channel: int) -> int:
        """Network evaluations of all planes of a channel, as far as is known.

        Args:
            channel: one that is denoised.
        """
        usual, info = self.first(channel).nfe, self.volume.info
        return usual * (info.num_planes // info.num_channels) + sum(
            (recipe.nfe - usual) * group_size(info, group)
            for group, recipe in self.known.items()
            if group[1] == channel
        )

    @property
    def num_planes(self) -> int:
        """Number of planes that are denoised."""
        return self.volume.info.num_planes // self.volume.info.num_channels * len(self.channels)

    def records(self) -> list[dict[str, Any]]:
        """Records of how each channel is denoised, as far as is known, as JSON holds them."""
        return [
            {"name": self.volume.info.channel_name(channel)} | self._record(channel)
            for channel in range(self.volume.info.num_channels)
        ]

    def _record(self, channel: int) -> dict[str, Any]:
        if channel not in self.channels:
            return {"copied": True}
        own = filter(self.known.__contains__, self.groups(channel))
        found = {group[0]: _described(self.known[group]) for group in own}
        model = self.models.record(channel)
        if None in found:
            return model | found[None]
        return model | {"time points": [{"t": t} | described for t, described in found.items()]}


def _described(recipe: Recipe) -> dict[str, Any]:
    measurement = recipe.measurement.record()
    return {"nfe": recipe.nfe, "options": recipe.sampler.options, "measurement": measurement}
