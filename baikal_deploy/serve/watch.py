"""Follows a live stream: what the page shows, and what Prometheus reads."""

from __future__ import annotations

from dataclasses import asdict
from threading import Lock, Thread
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from baikal_deploy.live import LiveDenoiser, LiveResult
from baikal_deploy.serve.pictures import picture

METRICS_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
"""Bounds of the histogram of latencies."""


class Watch(Collector):
    """A collector of the latest result of a stream, until the stream ends."""

    def __init__(self, live: LiveDenoiser) -> None:
        self._live = live
        self._latest: LiveResult | None = None
        self._pictures: tuple[int, dict[str, Any]] = (-1, {})
        self._lock = Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._latency = Histogram(
            "baikal_frame_latency_seconds", "From the arrival of a frame until it was denoised.",
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._results = live.results()
        Thread(target=self._follow, name="baikal-watch", daemon=True).start()

    def close(self) -> None:
        """Follow no more."""
        self._results.close(keep=False)

    def _follow(self) -> None:
        for result in self._results:
            self._latency.observe(result.latency_ms / 1e3)
            self._latest = result

    def state(self, shown: int) -> dict[str, Any]:
        """Statistics of the stream, and the latest frame unless it is number ``shown``."""
        state: dict[str, Any] = {"statistics": asdict(self._live.statistics), "queue": self._live.queue}
        latest = self._latest
        if latest is not None and latest.number != shown:
            state["frame"] = self._frame(latest)
        return state

    def _frame(self, latest: LiveResult) -> dict[str, Any]:
        with self._lock:  # whoever else looks waits for the pictures, and does not make them again
            if self._pictures[0] != latest.number:
                frame = {
                    "number": latest.number,
                    "shape": latest.image.shape,
                    "dtype": str(latest.image.dtype),
                    "evaluations": latest.evaluations,
                    "frames": latest.frames,
                    "latency_ms": latest.latency_ms,
                    "channel": "" if latest.channel is None else str(latest.channel),
                    **asdict(picture(latest.raw, latest.image)),
                }
                self._pictures = latest.number, frame
            return self._pictures[1]

    def metrics(self) -> bytes:
        """Metrics of the stream, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> list[Metric]:
        """Metrics for Prometheus, the moment it asks."""
        found = self._live.statistics
        frames = CounterMetricFamily("baikal_frames", "Frames by what became of them.", labels=["outcome"])
        for outcome in ("done", "dropped", "failed"):
            frames.add_metric([outcome], getattr(found, outcome))
        return [
            CounterMetricFamily("baikal_frames_submitted", "Frames that came.", value=found.submitted),
            frames,
            CounterMetricFamily("baikal_frames_late", "Frames beyond the latency wanted.", value=found.late),
            GaugeMetricFamily("baikal_frames_waiting", "Waiting or being denoised.", value=found.waiting),
            GaugeMetricFamily("baikal_queue_size", "Frames that may wait.", value=self._live.queue),
            GaugeMetricFamily(
                "baikal_frames_per_second", "Done in the last 10 seconds.", value=found.frames_per_second
            ),
            GaugeMetricFamily(
                "baikal_engine_share", "Share of the time spent on frames in the engine.",
                value=found.engine_share,
            ),
        ]  # fmt: skip
