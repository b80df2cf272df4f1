"""An input that another process is writing, looked at now and then until it has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.growing.base import CannotFollow, Seen
from baikal_deploy.volumes.growing.look import look
from baikal_deploy.volumes.urls import Source, Url

log = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between two looks."""


class Watched:
    """An input that grows along its first axis.

    Attributes:
        path, series: where it is, and which image of several.
        timeout: seconds without growth after which it has ended.
        ended: whether nothing of it will come any more.
    """

    def __init__(self, path: Source, series: int | None, timeout: float) -> None:
        self.path, self.series, self.timeout, self.ended = path, series, timeout, False
        self._seen = Seen(None)
        self._changed = time.monotonic()
        self._trouble: VolumeError | None = None

    @property
    def is_there(self) -> bool:
        """True if there is anything at its path; at a URL, True without a look."""
        return isinstance(self.path, Url) or self.path.exists()

    @property
    def volume(self) -> Volume:
        """Volume that was there at the last look; ``wait`` has returned before."""
        assert self._seen.volume is not None
        return self._seen.volume

    @property
    def steps(self) -> int:
        """Steps of the first axis that were there at the last look."""
        return self.volume.info.shape[0]

    def wait(self, enough: Callable[[VolumeInfo], bool]) -> None:
        """Look until enough is there, or the input has ended; then it stays as it is.

        A KeyboardInterrupt ends it, if anything is there.

        Args:
            enough: tells of what is there whether it is enough.

        Raises:
            VolumeError: nothing is there that can be read.
            CannotFollow: it has changed in another way than along its first axis.
        """
        try:
            while not self.ended:
                self._look()
                if self.ended or (self._seen.volume and enough(self._seen.volume.info)):
                    break
                time.sleep(POLL)
        except KeyboardInterrupt:
            if self._seen.volume is None:
                raise
            self.interrupt()
        if self._seen.volume is None:
            raise self._trouble or VolumeError(
                f"{self.path}: nothing that could be denoised was written in {self.timeout:g} s; "
                f"check the path, or wait longer (--follow-timeout)"
            )

    def interrupt(self) -> None:
        """Take the input to have ended where it is.

        Raises:
            CannotFollow: it has changed in another way than along its first axis.
        """
        log.warning("interrupted: finishing what is there of the input; interrupt again to stop at once")
        self.ended = True
        self._look()

    def settle(self, steps: int) -> None:
        """Take the input to have ended after so many steps, whatever comes later.

        Args:
            steps: of the first axis.

        Raises:
            VolumeError: it is shorter.
        """
        if self.steps < steps:
            raise VolumeError(
                f"{self.path}: is shorter ({self.steps} steps) than what the unfinished run has read of it "
                f"({steps}); restore it, or remove the unfinished output and run again"
            )
        self.ended = True
        rest = self._seen.rest or self.steps > steps
        self._seen = replace(self._seen, volume=first_steps(self.volume, steps), rest=rest)

    def notes(self) -> list[str]:
        """Sentences on how the input ended: what was left out, and what is not known of it."""
        notes = []
        if self._trouble is not None:
            notes.append(
                f"the input could not be looked at when it ended ({self._trouble}): it may hold more"
            )
        if self._seen.rest:
            last = f"{self.volume.info.axes[0].name}={self.steps - 1}"
            notes.append(f"what the input has after {last} was missing or not whole when it ended: left out")
        if self._seen.lacks_metadata:
            notes.append(
                "the input has no OME metadata, which acquire-zarr writes when it is closed: pixel sizes and "
                "units are not known, and 1 stands for them"
            )
        return notes

    def _look(self) -> None:
        before = self._seen.volume
        try:
            seen, self._trouble = look(self.path, self.series, self._seen, self.ended), None
        except CannotFollow:
            raise
        except VolumeError as error:  # half written, it may be
            seen, self._trouble = replace(self._seen, ended=False), error
        if before is not None:
            _check_grown(before, seen.volume)
        if seen.stamp != self._seen.stamp:
            self._changed = time.monotonic()
        self._seen = seen
        if seen.ended:
            self.ended = True
        elif not self.ended and time.monotonic() - self._changed > self.timeout:
            self.ended = True
            self._look()


def first_steps(volume: Volume, steps: int) -> Volume:
    """First steps of a volume along its first axis, as a volume of the same kind.

    Args:
        steps: how many.
    """
    cut: Volume = replace(volume, info=replace(volume.info, shape=(steps, *volume.info.shape[1:])))  # type: ignore[type-var]
    return cut


def _check_grown(before: Volume, now: Volume | None) -> None:
    was = before.info
    if now is None:
        raise CannotFollow(
            f"{was.path}: {was.shape[0]} steps were there, and nothing is any more; remove the unfinished "
            f"output, and run again when it is written anew"
        )

    def rest(info: VolumeInfo) -> tuple[Any, ...]:
        return [axis.name for axis in info.axes], info.shape[1:], info.dtype

    if rest(was) != rest(now.info) or now.info.shape[0] < was.shape[0]:
        raise CannotFollow(
            f"{now.info.path}: was {was.shape} {was.dtype} and is now {now.info.shape} {now.info.dtype}; "
            f"only what grows along its first axis can be followed. Remove the unfinished output; run again"
        )
