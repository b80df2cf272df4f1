"""Progress of a run: how far it is, and how fast."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MEMORY = 60.0
"""Seconds that the speed is taken over."""
LEAST_APART = 1.0
"""Seconds between two of the readings that the speed is taken from."""


@dataclass(frozen=True)
class Reading:
    """Progress of a run at one time.

    Attributes:
        evaluations, all_evaluations: network evaluations of planes, done and in all.
        planes, all_planes: as many planes as that makes up.
        per_second: evaluations per second; None before the first.
        seconds_left: at that speed.
    """

    evaluations: int
    all_evaluations: int
    planes: int
    all_planes: int
    per_second: float | None
    seconds_left: float | None


class Meter:
    """Turns what a run reports (see ``run.run.Progress``) into readings.

    What was done before the first report, by an earlier run, does not count as speed.

    Args:
        planes: gives how many are denoised, as far as is known by then.
        clock: gives the time in seconds.
    """

    def __init__(self, planes: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._planes, self._clock = planes, clock
        self._kept: deque[tuple[float, int]] = deque()

    def read(self, done: int, total: int) -> Reading:
        """Reading after some evaluations, as far as is known by then.

        Args:
            done: network evaluations of planes so far.
            total: all of them.
        """
        now = self._clock()
        if not self._kept or now - self._kept[-1][0] >= LEAST_APART:
            self._kept.append((now, done))
        while len(self._kept) > 1 and now - self._kept[1][0] >= MEMORY:
            self._kept.popleft()
        then, done_then = self._kept[0]
        speed = (done - done_then) / (now - then) if now > then and done > done_then else None
        all_planes = self._planes()
        planes = all_planes * done // total if total else all_planes
        left = None if speed is None else (total - done) / speed
        return Reading(done, total, planes, all_planes, speed, left)


class Interval:
    """Lets something happen once in so many seconds at most; the first comes after the first of them.

    Args:
        seconds: between two times.
        clock: gives the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._last = clock()

    def over(self) -> bool:
        """True if it is time again."""
        now = self._clock()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
