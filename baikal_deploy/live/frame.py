"""A frame, before and after it is denoised."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from baikal_deploy.pixels.arrays import Raw


@dataclass(frozen=True)
class LiveResult:
    """A denoised frame.

    Attributes:
        number: of the frame, from 0, as they were submitted.
        image: (H, W), in the pixel type and units of the frame.
        raw: (H, W), the frame as it was submitted.
        metadata, channel: what was submitted with it.
        evaluations: network evaluations that it got.
        latency_ms: from ``submit`` until it was done.
        engine_ms: of that, in calls of the engine.
        frames: of the stream that are averaged in the image, in the mean of its pixels; 1: itself alone.
    """

    number: int
    image: Raw
    raw: Raw
    metadata: Any
    channel: Hashable
    evaluations: int
    latency_ms: float
    engine_ms: float
    frames: float = 1.0


@dataclass(frozen=True)
class Frame:
    """A frame that waits to be denoised.

    Attributes:
        number, pixels, metadata, channel: see ``LiveResult``.
        submitted: when, of time.perf_counter.
        future: what its result is told to.
    """

    number: int
    pixels: Raw
    metadata: Any
    channel: Hashable
    submitted: float
    future: Future[LiveResult]
