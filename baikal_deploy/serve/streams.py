"""Bookkeeping of the streams: channels, each in one pixel type, that have an intensity mapping."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from baikal_deploy.serve.refusal import bad

IDLE = 600
"""Seconds after the last frame of a stream from which on it makes room for others, as a connection does."""
Key = tuple[str | None, "np.dtype[np.generic]"]


class Streams:
    """A bounded number of streams; all within one thread.

    Arguments:
        most: that may be known at a time.
        forget: called with the channel and the pixel type of one that makes room.
    """

    def __init__(self, most: int, forget: Callable[[str | None, np.dtype[np.generic]], None]) -> None:
        self._most, self._forget = most, forget
        self._last: dict[Key, float] = {}
        self._users = Counter[Key]()

    @contextmanager
    def use(self, channel: str | None, dtype: np.dtype[np.generic]) -> Iterator[None]:
        """Keep a stream known meanwhile.

        Raises:
            Refused: there is no room for another stream, as all were used lately.
        """
        stream = channel, dtype
        if stream not in self._last and len(self._last) >= self._most:
            self._make_room()
        self._last[stream] = time.monotonic()
        self._users[stream] += 1
        try:
            yield
        finally:
            self._users[stream] -= 1
            self._last[stream] = time.monotonic()

    def _make_room(self) -> None:
        resting = [stream for stream in self._last if not self._users[stream]]
        oldest = min(resting, key=self._last.__getitem__, default=None)
        if oldest is None or time.monotonic() - self._last[oldest] < IDLE:
            raise bad(
                f"channel: {self._most} channels, each in a pixel type, are known, and there is no "
                f"room for more; use their names, wait until one has had no frame for {IDLE} s, or start the "
                "server with more --streams"
            )
        del self._last[oldest], self._users[oldest]
        self._forget(*oldest)
