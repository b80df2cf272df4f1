"""A run on a store that another process is still writing: what is there for good is denoised, as it comes.

The input grows along its first axis. The output is enlarged by whole shards, so that each is written once;
what does not fill one is written when the input has ended. Intensities and noise are measured at the
beginning, so that it makes no difference when the run was begun, or how often it was killed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import prod
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.memory import MemoryModel
from baikal_deploy.run.outputs import check_places
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.resume.session import Session, check_session, finished_before, open_session
from baikal_deploy.run.resume.unfinished import unfinished
from baikal_deploy.run.run import Progress, Run
from baikal_deploy.run.unreadable import ReadableVolume
from baikal_deploy.run.workers import ThisProcess, Workers
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.formats import is_tiff
from baikal_deploy.volumes.growing.base import CannotFollow
from baikal_deploy.volumes.growing.watched import Watched, first_steps
from baikal_deploy.volumes.layout import plan_items
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.selection import SelectedVolume

TIMEOUT = 30.0
"""Seconds without growth after which the input has ended."""
FIRST_PLANES = 8
"""Of each channel that are measured, or all where there are fewer."""
ENDLESS = 2**20
"""Steps of an axis whose length is not known yet, for choosing a layout that does not depend on it."""


class Follow(Run):
    """A run on a growing store. Planning it waits until enough is there to be measured.

    Attributes:
        input: what is followed.
    """

    def __init__(self, config: RunConfig, timeout: float = TIMEOUT, *, only_plan: bool = False) -> None:
        """Plan a run.

        Args:
            timeout: seconds without growth after which the input has ended.
            only_plan: see ``Run``.

        Raises:
            ConfigError, VolumeError, ModelError, EngineError: the run cannot be done as asked; nothing came
                in time.
        """
        _check(config, timeout, only_plan)
        config = replace(config, output=config.target)  # what lies around the input may change its default
        self.input = Watched(config.input, config.series, timeout)
        super().__init__(config, only_plan=only_plan)

    def _open_whole(self) -> Volume:
        if not self.input.is_there:  # what is wrong with the model is said before anything is waited for
            with ExitStack() as stack:
                self._load(stack, None)
        self.input.wait(self._can_be_measured)
        _check_axes(self.input.volume.info, self.config)
        return self.input.volume

    def _can_be_measured(self, info: VolumeInfo) -> bool:
        _check_axes(info, self.config)
        return info.shape[0] >= _needed(info)

    def _fingerprint(self) -> dict[str, Any]:
        """That of a run on a whole store has what changes as this one grows."""
        info = self.input.volume.info
        contents = {
            "axes": [axis.name for axis in info.axes],
            "shape of a step": list(info.shape[1:]),
            "dtype": str(info.dtype),
            "first planes": self._digest(),
        }
        return super()._fingerprint() | {"contents of the input": contents}

    def _is_finished(self) -> bool:
        """Whether there is nothing that the finished output lacks."""
        return super()._is_finished() and open_input(self.config.target).info.shape[0] == self.input.steps

    def _digest(self) -> str:
        first = self._part(1)
        volume = first if self.config.on_error == "stop" else ReadableVolume(first)
        digest = hashlib.sha256()
        for plane in range(min(FIRST_PLANES, first.info.num_planes)):
            digest.update(volume.read([plane]).tobytes())
        return digest.hexdigest()

    def _measure(self) -> None:
        if self.earlier is not None and self.earlier.ended is not None:
            self.input.settle(self.earlier.ended)
        self._take(self.input.steps)
        beginning = self._part(self._beginning)
        early = replace(self.recipes, volume=beginning)  # with the same dictionary of what is known
        for channel in early.channels:
            early.first(channel)

    @property
    def _beginning(self) -> int:
        """Steps that are measured."""
        return min(_needed(self.input.volume.info), self.input.steps)

    def _memory(self) -> MemoryModel:
        model = super()._memory()
        step = model.info.shape[1:]
        others = [size for axis, size in zip(model.info.axes[1:-2], step, strict=False) if axis.name != "c"]
        # A step that fills shards by itself is written when it comes.
        first = 1 if max(others, default=1) > 1 else ENDLESS
        return replace(model, info=replace(model.info, shape=(first, *step)))

    def execute(self, progress: Progress | None = None, workers: Workers | None = None) -> RunReport:
        """Denoise and write what comes until the input ends; see ``Run.execute``.

        The first KeyboardInterrupt ends the input where it is; the next one is raised.

        Args:
            workers: must be None: this process does it.

        Raises:
            CannotFollow: the input has changed in another way than along its first axis.
        """
        if workers is not None:
            raise ConfigError("workers: a store that grows is denoised by one process; give None")
        self.denoiser.check_open()
        if self.refused is not None:
            raise self.refused
        if self.finished:
            return self._report_before()
        started, computed = time.perf_counter(), 0
        self.input.wait(lambda info: self._ready(info) > 0)
        self._take_more()
        with open_session(self.config, self.written, self.fingerprint, self.layout) as session:
            while True:
                last = self.input.ended
                computed += self._round(session, progress)
                if last:
                    break
                self._take_more()
                session.grow(self.written)
            tally = session.tally
            notes = [*tally.notes(), *self.input.notes(), *self._copy_labels(session)]
            session.finish(self.provenance(tally, notes))
        return RunReport(self.config.target, time.perf_counter() - started, computed, tally, notes)

    def _round(self, session: Session, progress: Progress | None) -> int:
        """Do what is there, and wait for more if more will come; the evaluations that it took."""
        done, computed, last = sum(map(self.work.evaluations, session.done)), 0, self.input.ended
        if last:
            session.end(self.written.shape[0])

        def advance(planes: int, evaluated: int) -> None:
            nonlocal done, computed
            done += planes
            computed += evaluated
            if progress is not None:
                progress(done, self.evaluations)

        advance(0, 0)
        try:
            ThisProcess().work(self.work, session, advance)
        except KeyboardInterrupt:
            if last:
                raise
            self.input.interrupt()
        if not last:
            self.input.wait(lambda info: self._ready(info) > self.written.shape[0])
        return computed

    def _take_more(self) -> None:
        """Go on with what fills whole shards, or with all when the input has ended.

        Raises:
            CannotFollow: it is another input.
        """
        self._take(self._ready(self.input.volume.info))
        if self._digest() != self.fingerprint["contents of the input"]["first planes"]:
            raise CannotFollow(
                f"{self.config.input}: was written anew while it was followed; remove the unfinished output, "
                f"and run again"
            )
        self.items = plan_items(self.written, self.layout)

    def _take(self, steps: int) -> None:
        """Be a run on the first steps."""
        self.volume = self.recipes.volume = self._part(steps)
        self.written = replace(self.volume.info, dtype=self.written.dtype)

    def _ready(self, info: VolumeInfo) -> int:
        """How many steps can be written."""
        shards_grow = self.layout.axis % len(info.shape[:-2]) == 0 and not self.input.ended
        return info.shape[0] // self.layout.planes * self.layout.planes if shards_grow else info.shape[0]

    def _part(self, steps: int) -> SelectedVolume:
        """The first steps of what was chosen."""
        return SelectedVolume(first_steps(self.input.volume, steps), (range(steps), *self.volume.indices[1:]))

    def provenance(self, tally: Tally, notes: Sequence[str]) -> dict[str, Any]:
        """With how much of the input was measured; see ``Run.provenance``."""
        followed = {"axis": self.written.axes[0].name, "measured on the first": self._beginning}
        return super().provenance(tally, notes) | {"followed": followed}


def _check(config: RunConfig, timeout: float, only_plan: bool) -> None:
    """What can be known before anything of the input is there."""
    if not timeout > 0:
        raise ConfigError(f"--follow-timeout {timeout:g}: must be more than 0 seconds")
    if config.guide is not None:
        raise ConfigError("--guide: cannot be followed; leave it out, or run without --follow")
    for path in config.outputs:
        if is_tiff(path):
            raise ConfigError(f"{path}: a TIFF cannot grow; with --follow, write an .ome.zarr")
    if config.output is not None or config.target.parent.is_dir():  # the input's may not be there yet
        check_places(config, [config.input])
    if not only_plan and unfinished(config) is None and not finished_before(config):
        check_session(config, None, {})


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


def _needed(info: VolumeInfo) -> int:
    """Steps that are measured."""
    return -(-FIRST_PLANES // (prod(info.shape[1:-2]) // info.num_channels))
