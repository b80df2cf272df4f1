"""Statistics of what a live stream has done so far."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

import numpy as np

LATEST = 1000
"""Frames that the latencies are taken from."""
LATELY = 10.0
"""Seconds that the frame rate is taken from."""
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class LiveStatistics:
    """Counts of what became of the frames: ``submitted = done + dropped + failed + waiting``.

    Attributes:
        submitted, done, dropped, failed: frames.
        waiting: frames that wait or are being denoised.
        unread: results that an iterator was too slow for; their futures have them.
        consumer_errors: exceptions of callbacks.
        late: frames that took longer than the latency that was asked for.
        latency_ms: percentiles 50, 95 and 99 of the time from ``submit`` to the result, of the latest frames.
        evaluations: network evaluations of the latest frame.
        frames_per_second: done in the last 10 seconds; 0 if they saw fewer than two frames.
        engine_share: share of the time spent on frames in which the engine computed.
        settled: whether the intensity mapping of every channel has settled.
    """

    submitted: int
    done: int
    dropped: int
    failed: int
    waiting: int
    unread: int
    consumer_errors: int
    late: int
    latency_ms: tuple[float, ...]
    evaluations: int
    frames_per_second: float
    engine_share: float
    settled: bool


class Counts:
    """Counts of a running stream; every method may be called by any thread."""

    def __init__(self, latency_ms: float | None) -> None:
        self._lock = Lock()
        self._allowed = latency_ms
        self._counts = dict.fromkeys(
            ("submitted", "done", "dropped", "failed", "unread", "consumer_errors", "late"), 0
        )
        self._latencies: deque[float] = deque(maxlen=LATEST)
        self._finished: deque[float] = deque(maxlen=LATEST)
        self._busy = self._engine = 0.0
        self._evaluations = 0

    def add(self, name: str, count: int = 1) -> None:
        """Count more frames under the name of a field of LiveStatistics."""
        with self._lock:
            self._counts[name] += count

    def add_done(self, finished: float, latency: float, busy: float, engine: float, evaluations: int) -> None:
        """Count one more frame that is done; times in seconds, ``finished`` of time.perf_counter."""
        with self._lock:
            self._counts["done"] += 1
            self._counts["late"] += self._allowed is not None and 1e3 * latency > self._allowed
            self._latencies.append(latency)
            self._finished.append(finished)
            self._busy += busy
            self._engine += engine
            self._evaluations = evaluations

    def statistics(self, settled: bool) -> LiveStatistics:
        """The statistics up to now; ``settled`` is passed on."""
        with self._lock:
            counts = dict(self._counts)
            waiting = counts["submitted"] - counts["done"] - counts["dropped"] - counts["failed"]
            latencies = np.percentile(self._latencies, PERCENTILES) if self._latencies else np.zeros(3)
            return LiveStatistics(
                **counts,
                waiting=waiting,
                latency_ms=tuple(float(1e3 * latency) for latency in latencies),
                evaluations=self._evaluations,
                frames_per_second=_rate(self._finished, time.perf_counter()),
                engine_share=self._engine / self._busy if self._busy > 0 else 0.0,
                settled=settled,
            )


def _rate(finished: Iterable[float], now: float) -> float:
    """Frames per second; falls while the stream stands still."""
    lately = [one for one in finished if now - one <= LATELY]
    return (len(lately) - 1) / (now - lately[0]) if len(lately) > 1 else 0.0
