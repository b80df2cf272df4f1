"""A run on a store that another process is still writing: what is there for good is denoised, as it comes.

The input grows along its first axis. The output is enlarged by whole shards, so that each is written once;
what does not fill one is written when the input has ended. Intensities and noise are measured at the
beginning, so that it makes no difference when the run was begun, or how often it was killed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import prod
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.gate import NEIGHBOURS, Fuse
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.resume.session import check_session
from baikal_deploy.run.run import Run
from baikal_deploy.run.targets import check_places
from baikal_deploy.run.unreadable import ReadableVolume
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.create import format_of
from baikal_deploy.volumes.growing.base import CannotFollow
from baikal_deploy.volumes.growing.watched import Watched, first_steps
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.selection import SelectedVolume

TIMEOUT = 30.0
"""Seconds without growth after which the input has ended."""
FIRST_PLANES = 8
"""Number of planes of each channel that are measured; all where there are fewer."""
ENDLESS = 2**20
"""Steps of an axis whose length is not known yet, for choosing a layout that does not depend on it."""


class Follow(Run):
    """A run on a growing store. Planning it waits until enough is there to be measured."""

    def __init__(self, config: RunConfig, timeout: float = TIMEOUT, *, only_plan: bool = False) -> None:
        """Plan a run.

        Args:
            config: the options of the run.
            timeout: seconds without growth after which the input has ended.
            only_plan: see ``Run``.

        Raises:
            ConfigError: an option that does not go with the input, the model or a run that follows.
            VolumeError: the input cannot be read, an output cannot be written there, or nothing came in time.
            ModelError: the model cannot be used.
            EngineError: the engine cannot be used, or failed.
        """
        _check(config, timeout, only_plan)
        config = replace(config, output=config.target)  # what lies around the input may change its default
        super().__init__(config, GrowingInput(config, timeout), only_plan=only_plan)


class GrowingInput:
    """An input that another program is still writing, in rounds of whole shards, and one of the rest.

    Attributes:
        watched: the store.
    """

    grows = True

    def __init__(self, config: RunConfig, timeout: float) -> None:
        self.watched = Watched(config.input, config.series, timeout)
        self._config, self._told = config, ""

    @property
    def is_there(self) -> bool:
        """True if the store is there."""
        return self.watched.is_there

    @property
    def ended(self) -> bool:
        """True if nothing more will come."""
        return self.watched.ended

    def open(self) -> Volume:
        """Wait until the input can be measured.

        Raises:
            VolumeError: nothing came in time.
            ConfigError: an option chooses along the axis that grows.
        """
        self.watched.wait(self._can_be_measured)
        _check_axes(self.watched.volume.info, self._config)
        return self.watched.volume

    def _can_be_measured(self, info: VolumeInfo) -> bool:
        _check_axes(info, self._config)
        return info.shape[0] >= _needed(info, self._config.fuse)

    def contents(self, chosen: SelectedVolume) -> dict[str, Any]:
        """Facts that do not change as the input grows, with a digest of the first planes.

        Args:
            chosen: of the input, when the run was planned.
        """
        info, self._told = self.watched.volume.info, self._digest(chosen)
        return {
            "axes": [axis.name for axis in info.axes],
            "shape of a step": list(info.shape[1:]),
            "dtype": str(info.dtype),
            "first planes": self._told,
        }

    def _digest(self, chosen: SelectedVolume) -> str:
        first = self._part(chosen, 1)
        volume = first if self._config.on_error == "stop" else ReadableVolume(first)
        digest = hashlib.sha256()
        for plane in range(min(FIRST_PLANES, first.info.num_planes)):
            digest.update(volume.read([plane]).tobytes())
        return digest.hexdigest()

    def continue_at(self, ended: int | None) -> None:
        """Take the input to have ended where an unfinished run has, which is continued, if it has.

        Args:
            ended: steps of the first axis; None: it had not ended.

        Raises:
            VolumeError: it is shorter by now.
        """
        if ended is not None:
            self.watched.settle(ended)

    def now(self, chosen: SelectedVolume) -> SelectedVolume:
        """Part of the chosen planes that is there.

        Args:
            chosen: of the input, when the run was planned.
        """
        return self._part(chosen, self.watched.steps)

    def beginning(self, chosen: SelectedVolume) -> SelectedVolume:
        """Planes to measure: the same whenever the run was begun.

        Args:
            chosen: of the input, when the run was planned.
        """
        return self._part(chosen, self._measured)

    @property
    def _measured(self) -> int:
        """Steps that are measured."""
        return min(_needed(self.watched.volume.info, self._config.fuse), self.watched.steps)

    def for_layout(self, info: VolumeInfo) -> VolumeInfo:
        """Info to choose the layout for, which does not depend on how much has come.

        Args:
            info: of the output.
        """
        step = info.shape[1:]
        others = [size for axis, size in zip(info.axes[1:-2], step, strict=False) if axis.name != "c"]
        # A step that fills shards by itself is written when it comes.
        first = 1 if max(others, default=1) > 1 else ENDLESS
        return replace(info, shape=(first, *step))

    def holds_no_more_than(self, output: VolumeInfo) -> bool:
        """True if an output has as many steps of the first axis.

        Args:
            output: info of a finished one.
        """
        return output.shape[0] == self.watched.steps

    def next_round(self, chosen: SelectedVolume, layout: Layout, done: int) -> SelectedVolume:
        """Wait for more than so many steps of the first axis, and return what can be denoised.

        Args:
            chosen: of the input, when the run was planned.
            layout: of the output.
            done: steps of the first axis.

        Raises:
            CannotFollow: it is another input.
            VolumeError: it cannot be read any more.
        """
        self.watched.wait(lambda info: self._ready(info, layout) > done)
        if self._digest(chosen) != self._told:
            raise CannotFollow(
                f"{self._config.input}: was written anew while it was followed; remove the unfinished "
                f"output, and run again"
            )
        return self._part(chosen, self._ready(self.watched.volume.info, layout))

    def _ready(self, info: VolumeInfo, layout: Layout) -> int:
        """Number of steps that can be written: those that fill whole shards, or all after the end."""
        shards_grow = layout.axis % len(info.shape[:-2]) == 0 and not self.ended
        return info.shape[0] // layout.planes * layout.planes if shards_grow else info.shape[0]

    def _part(self, chosen: SelectedVolume, steps: int) -> SelectedVolume:
        """The first steps of what was chosen."""
        return SelectedVolume(first_steps(self.watched.volume, steps), (range(steps), *chosen.indices[1:]))

    def interrupt(self) -> None:
        """End the input where it is. Raises KeyboardInterrupt if it has ended."""
        if self.ended:
            raise KeyboardInterrupt
        self.watched.interrupt()

    def notes(self) -> list[str]:
        """Remarks on how the input ended, in sentences."""
        return self.watched.notes()

    def record(self, info: VolumeInfo) -> dict[str, Any]:
        """Entry of the provenance on how the input was followed.

        Args:
            info: of the output.
        """
        return {"followed": {"axis": info.axes[0].name, "measured on the first": self._measured}}


def _check(config: RunConfig, timeout: float, only_plan: bool) -> None:
    """Check what can be known before anything of the input is there."""
    if not timeout > 0:
        raise ConfigError(f"--follow-timeout {timeout:g}: must be more than 0 seconds")
    if config.axes is not None:
        raise ConfigError(
            f"--axes {config.axes}: is not for --follow; name the axes in the store (dimension_names)"
        )
    if config.guide is not None:
        raise ConfigError("--guide: cannot be followed; leave it out, or run without --follow")
    if config.results is not None:
        raise ConfigError("--from: is a finished result, and --follow is for what still comes; leave one out")
    if config.upload is not None:
        raise ConfigError(f"{config.upload}: with --follow, write a local .ome.zarr, and copy it at the end")
    for path in config.outputs:
        if config.output is None and path == config.target:
            continue  # a file's would be a TIFF, but no file can be followed
        written = format_of(path)
        if not written.GROWS:
            raise ConfigError(f"{path}: a {written.NAME} cannot grow; with --follow, write an .ome.zarr")
    if config.output is not None or config.target.parent.is_dir():  # the input's may not be there yet
        check_places(config, [config.input])
    if not only_plan:
        check_session(config)


def _check_axes(info: VolumeInfo, config: RunConfig) -> None:
    first = info.axes[0].name
    if first not in ("t", "z"):
        names = ", ".join(axis.name for axis in info.axes)
        raise CannotFollow(
            f"{config.input}: has the axes {names}, and only what grows along t or z can be followed; "
            f"name the axes (dimension_names), or run without --follow when it is whole"
        )
    if first in config.spans:
        raise ConfigError(f"--{first}: is the axis along which the input grows; leave it out, or --follow")


def _needed(info: VolumeInfo, fuse: Fuse | None) -> int:
    """Steps that are measured; where results are fused along them, there are some with all neighbours."""
    first = info.axes[0].name
    least = 2 * NEIGHBOURS[first] + 1 if fuse is not None and first in fuse else 1
    return max(-(-FIRST_PLANES // (prod(info.shape[1:-2]) // info.num_channels)), least)
