"""A run on a store that another process is still writing: what is there for good is denoised, as it comes.

The input grows along its first axis. The output is enlarged by whole shards, so that each is written once;
what does not fill one is written when the input has ended. Intensities and noise are measured at the
beginning, so that it makes no difference when the run was begun, or how often it was killed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from baikal_deploy.config import RunConfig
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.memory import MemoryModel
from baikal_deploy.pipeline import Progress, Run, RunReport
from baikal_deploy.session import Session, check_session, open_session
from baikal_deploy.tally import Tally
from baikal_deploy.unfinished import unfinished
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.growing import CannotFollow, Seen, look
from baikal_deploy.volumes.inputs import is_tiff
from baikal_deploy.volumes.layout import plan_items
from baikal_deploy.volumes.selection import SelectedVolume
from baikal_deploy.workers import Advance, ThisProcess, Workers

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds without growth after which the input has ended."""
POLL = 0.5
"""Seconds between two looks at it."""
FIRST_PLANES = 8
"""Of each channel that are measured, or all where there are fewer."""
ENDLESS = 2**20
"""Steps of an axis whose length is not known yet, for choosing a layout that does not depend on it."""


class Follow(Run):
    """A run on a growing store. Planning it waits until enough is there to be measured.

    Attributes:
        timeout: see ``TIMEOUT``.
        ended: whether nothing of the input will come any more.
        seen: what was there at the last look.
    """

    def __init__(self, config: RunConfig, timeout: float = TIMEOUT) -> None:
        """Plan a run.

        Args:
            timeout: seconds without growth after which the input has ended.

        Raises:
            ConfigError, VolumeError, ModelError, EngineError: the run cannot be done as asked; nothing came
                in time.
        """
        _check(config, timeout)
        self.timeout, self.ended, self.seen = timeout, False, Seen(None)
        self._changed = time.monotonic()
        self._trouble: VolumeError | None = None
        self._settled: int | None = None
        super().__init__(config)

    def _open_whole(self) -> Volume:
        earlier = unfinished(self.config)
        if earlier is None:
            check_session(self.config, None, {})  # before anything that takes long
        self._settled = None if earlier is None else earlier.ended
        self.ended = self._settled is not None
        self._wait(self._can_be_measured)
        _check_axes(self._whole.info, self.config)
        self._beginning = min(_needed(self._whole.info), self._whole.info.shape[0])
        return self._whole

    def _can_be_measured(self, info: VolumeInfo) -> bool:
        _check_axes(info, self.config)
        return info.shape[0] >= _needed(info)

    def _fingerprint(self) -> dict[str, Any]:
        """That of a run on a whole store has what changes as this one grows."""
        info = self._whole.info
        contents = {
            "axes": [axis.name for axis in info.axes],
            "shape of a step": list(info.shape[1:]),
            "dtype": str(info.dtype),
            "first planes": self._digest(),
        }
        return super()._fingerprint() | {"contents of the input": contents, "measured on": self._beginning}

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for plane in range(min(FIRST_PLANES, self._whole.info.num_planes)):
            digest.update(self._whole.read([plane]).tobytes())
        return digest.hexdigest()

    def _measure(self) -> None:
        beginning = self._part(self._beginning)
        early = replace(self.recipes, volume=beginning)  # with the same dictionary of what is known
        for channel in early.channels:
            early.first(channel)

    def _memory(self) -> MemoryModel:
        model = super()._memory()
        return replace(model, info=replace(model.info, shape=(ENDLESS, *model.info.shape[1:])))

    def execute(self, progress: Progress | None = None, workers: Workers | None = None) -> RunReport:
        """Denoise and write what comes until the input ends; see ``Run.execute``.

        The first KeyboardInterrupt ends the input where it is; the next one is raised.

        Raises:
            CannotFollow: the input has changed in another way than along its first axis.
        """
        started = time.perf_counter()
        self._wait(lambda info: self._ready(info) > 0)
        self._take()
        with open_session(self.config, self.written, self.fingerprint, self.layout) as session:
            session.measured(self.recipes.measurements)
            computed = 0

            def advance(planes: int, evaluated: int) -> None:
                nonlocal computed
                computed += evaluated
                reported[0] += planes
                if progress is not None:
                    progress(reported[0], self.evaluations)

            reported = [sum(map(self.work.evaluations, session.done))]
            advance(0, 0)
            while not self._round(session, advance):
                self._take()
                session.grow(self.written)
            tally = session.tally
            notes = [*tally.notes(), *self._notes(), *self._copy_labels(session)]
            session.finish(self.provenance(tally, notes))
        return RunReport(self.config.target, time.perf_counter() - started, computed, tally, notes)

    def _round(self, session: Session, advance: Advance) -> bool:
        """Do what is there, and wait for more; whether there is no more."""
        last = self.ended
        if last:
            session.end(self.written.shape[0])
        try:
            ThisProcess().work(self, session, advance)
            if not last:
                self._wait(lambda info: self._ready(info) > self.written.shape[0])
        except KeyboardInterrupt:
            if last:
                raise
            self._interrupt()
        return last

    def _take(self) -> None:
        """Go on with what fills whole shards, or with all when the input has ended."""
        self.volume = self._part(self._ready(self._whole.info))
        self.written = replace(self.volume.info, dtype=self.written.dtype)
        self.recipes.volume = self.volume
        self.items = plan_items(self.written, self.layout)

    def _ready(self, info: VolumeInfo) -> int:
        """How many steps can be written."""
        shards_grow = len(info.shape) == 3 and not self.ended
        return info.shape[0] // self.layout.planes * self.layout.planes if shards_grow else info.shape[0]

    def _part(self, steps: int) -> SelectedVolume:
        """The first steps of what was chosen."""
        return SelectedVolume(_cut(self._whole, steps), (range(steps), *self.volume.indices[1:]))

    @property
    def _whole(self) -> Volume:
        """What is there."""
        assert self.seen.volume is not None
        return self.seen.volume

    def _wait(self, enough: Callable[[VolumeInfo], bool]) -> None:
        """Look until enough is there, or the input has ended.

        Raises:
            VolumeError: nothing is there that can be read.
        """
        try:
            self._look()
            while not self.ended and not (self.seen.volume and enough(self.seen.volume.info)):
                time.sleep(POLL)
                self._look()
        except KeyboardInterrupt:
            if self.seen.volume is None:
                raise
            self._interrupt()
        if self.seen.volume is None:
            raise self._trouble or VolumeError(
                f"{self.config.input}: nothing that could be denoised was written in {self.timeout:g} s; "
                f"check the path, or wait longer (--follow-timeout)"
            )

    def _interrupt(self) -> None:
        log.warning("interrupted: finishing what is there of the input; interrupt again to stop at once")
        self.ended = True
        self._look()

    def _look(self) -> None:
        """Raises CannotFollow: see there."""
        before = self.seen.volume
        try:
            known = 0 if before is None else before.info.shape[0]
            seen, self._trouble = look(self.config.input, self.config.series, known, self.ended), None
        except CannotFollow:
            raise
        except VolumeError as error:  # half written, it may be
            seen, self._trouble = self.seen, error
        if self._settled is not None and seen.volume is not None:
            seen = self._settle(seen, seen.volume, self._settled)
        if before is not None and seen.volume is not None:
            _check_grown(before.info, seen.volume.info)
        if seen.stamp != self.seen.stamp:
            self._changed = time.monotonic()
        self.seen = replace(seen, volume=seen.volume or before)
        if not self.ended and (seen.ended or time.monotonic() - self._changed > self.timeout):
            self.ended = True
            self._look()

    def _settle(self, seen: Seen, volume: Volume, steps: int) -> Seen:
        """As long as an earlier run has taken it to be, whose last shards may be written."""
        found = volume.info.shape[0]
        if found < steps:
            raise VolumeError(
                f"{self.config.input}: is shorter ({found} steps) than what the unfinished run has read "
                f"of it ({steps}); restore it, or start anew (--overwrite)"
            )
        return replace(seen, volume=_cut(volume, steps), rest=seen.rest or found > steps)

    def _notes(self) -> list[str]:
        if not self.seen.rest:
            return []
        axis, steps = self.written.axes[0].name, self.written.shape[0]
        return [
            f"what the input has after {axis}={steps - 1} was missing or not whole when it ended: left out"
        ]

    def provenance(self, tally: Tally, notes: Sequence[str]) -> dict[str, Any]:
        """With how much of the input was measured; see ``Run.provenance``."""
        followed = {"axis": self.written.axes[0].name, "measured on the first": self._beginning}
        return super().provenance(tally, notes) | {"followed": followed}


def _check(config: RunConfig, timeout: float) -> None:
    if not timeout > 0:
        raise ConfigError(f"--follow-timeout {timeout:g}: must be more than 0 seconds")
    if config.guide is not None:
        raise ConfigError("--guide: cannot be followed; leave it out, or run without --follow")
    for path in config.outputs:
        if is_tiff(path):
            raise ConfigError(f"{path}: a TIFF cannot grow; with --follow, write an .ome.zarr")


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


def _check_grown(before: VolumeInfo, now: VolumeInfo) -> None:
    def rest(info: VolumeInfo) -> tuple[Any, ...]:
        return [axis.name for axis in info.axes], info.shape[1:], info.dtype

    if rest(before) != rest(now) or now.shape[0] < before.shape[0]:
        raise CannotFollow(
            f"{now.path}: was {before.shape} {before.dtype} and is now {now.shape} {now.dtype}; only what "
            f"grows along its first axis can be followed. Remove the unfinished output, and run again"
        )


def _needed(info: VolumeInfo) -> int:
    """Steps that are measured."""
    return -(-FIRST_PLANES // (prod(info.shape[1:-2]) // info.num_channels))


def _cut(volume: Volume, steps: int) -> Volume:
    """The first steps of a volume."""
    cut: Volume = replace(volume, info=replace(volume.info, shape=(steps, *volume.info.shape[1:])))  # type: ignore[type-var]
    return cut
