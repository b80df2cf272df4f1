"""A stream of an engine's own, ordered between the work of whoever calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from baikal_deploy.engines._cuda import runtime as _cuda


class OwnStream:
    """A stream, and the events that order it; nobody waits for it. Close it when it is done.

    Attributes:
        stream: CUDA's handle.
    """

    def __init__(self) -> None:
        with ExitStack() as kept:
            self.stream = _cuda.create_stream()
            kept.callback(_cuda.destroy_stream, self.stream)
            self._ready, self._done = _event(kept), _event(kept)
            self._kept = kept.pop_all()
        self._owned = False

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Self]:
        """A stream that is freed at the end, unless ``keep`` was called."""
        stream = cls()
        try:
            yield stream
        finally:
            if not stream._owned:
                stream.close()

    def keep(self) -> None:
        """Leave the stream to whoever has it by now, and closes it."""
        self._owned = True

    @property
    def handle(self) -> int:
        """Number that stands for the stream in other libraries."""
        return int(self.stream)

    @contextmanager
    def within(self, caller: int) -> Iterator[None]:
        """Order the stream between the caller's work before and after.

        Its input is there then, and memory that the caller gives back is not used again too early.

        Args:
            caller: handle of the caller's stream.
        """
        self.follow(caller)
        try:
            yield
        finally:
            _cuda.record(self._done, self.stream)
            _cuda.order(self._done, caller)

    def follow(self, caller: int) -> None:
        """Let the stream wait for the caller's, also for earlier users of memory taken there.

        Args:
            caller: handle of the caller's stream.
        """
        _cuda.record(self._ready, caller)
        _cuda.order(self._ready, self.stream)

    def finish(self) -> None:
        """Wait until all that the stream was given is done."""
        _cuda.finish(self.stream)

    def close(self) -> None:
        """Wait until all is done, and free the stream."""
        self.finish()
        self._kept.close()


def _event(kept: ExitStack) -> Any:
    event = _cuda.create_event()
    kept.callback(_cuda.destroy_event, event)
    return event
