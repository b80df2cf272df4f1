"""Whoever wants the results of a stream as they come: iterators, and a callback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from baikal_deploy.live.frame import LiveResult
from baikal_deploy.live.statistics import Counts
from baikal_deploy.live.waiting import Waiting

log = logging.getLogger(__name__)

OnResult = Callable[[LiveResult], None]


class Readers:
    """Readers of the results, none of which can hold up the stream.

    Arguments:
        size: results that may wait for an iterator; beyond that the oldest is left out.
        on_result: called with each result; None: nothing is.
        counts: of what is left out, and of calls that fail.
    """

    def __init__(self, size: int, on_result: OnResult | None, counts: Counts) -> None:
        self._size, self._on_result, self._counts = size, on_result, counts
        self._outboxes: list[Waiting[LiveResult]] = []
        self._lock, self._ended = Lock(), False

    def new(self) -> Waiting[LiveResult]:
        """An iterator over the results from now on."""
        outbox: Waiting[LiveResult] = Waiting(self._size, "drop-oldest")
        with self._lock:
            self._outboxes.append(outbox)
            if self._ended:
                outbox.close()
        return outbox

    def tell(self, result: LiveResult) -> None:
        """Give everybody a result.

        Args:
            result: of the next frame.
        """
        with self._lock:
            self._outboxes = [outbox for outbox in self._outboxes if not outbox.closed]
            outboxes = list(self._outboxes)
        for outbox in outboxes:
            self._counts.add("unread", len(outbox.put(result)))
        if self._on_result is None:
            return
        try:
            self._on_result(result)
        except Exception:  # the consumer's own
            self._counts.add("consumer_errors")
            log.exception("on_result failed for frame %d", result.number)

    def end(self) -> None:
        """End all iterators: nothing more will come."""
        with self._lock:
            self._ended = True
            for outbox in self._outboxes:
                outbox.close()
