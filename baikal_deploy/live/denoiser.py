"""Frames in, denoised frames out, without ever holding up whoever brings them."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock, Thread, current_thread
from typing import Any, Self, get_args

import numpy as np

from baikal_deploy.denoising.precision import AUTO_PRECISION, AskedPrecision
from baikal_deploy.denoising.windows import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.engines import AUTO
from baikal_deploy.errors import BaikalError, ConfigError
from baikal_deploy.live.frame import Frame, LiveResult
from baikal_deploy.live.memory import FrameMemory
from baikal_deploy.live.model import LiveModel
from baikal_deploy.live.priority import give_way
from baikal_deploy.live.readers import OnResult, Readers
from baikal_deploy.live.statistics import Counts, LiveStatistics
from baikal_deploy.live.waiting import FrameDropped, Waiting, WhenFull
from baikal_deploy.models.manifest import DEFAULT_MODEL
from baikal_deploy.pixels.arrays import Raw

log = logging.getLogger(__name__)


class LiveDenoiser:
    """A denoiser of frames, in a thread of its own. Close it, or use it as a context manager.

    A frame is copied when it is submitted, unless it is handed over, and never changed. Results come in the
    order of the frames, through futures, a callback, or ``results``. What cannot be denoised in time is
    dropped and counted, never silently. A frame may have any size and real pixel type; every channel and
    pixel type has a mapping of intensities of its own, which settles on the first frames (see settling.py)
    and is then held. On Linux its threads, and those of the engine, run with a lower priority.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        sampler: str = "matched",
        *,
        engine: str = AUTO,
        precision: AskedPrecision = AUTO_PRECISION,
        tile: int = DEFAULT_TILE,
        batch: int = 1,
        memory: str | int | None = None,
        queue: int = 8,
        when_full: WhenFull = "drop-oldest",
        latency_ms: float | None = None,
        on_result: OnResult | None = None,
        seed: int = 0,
        fuse: bool = False,
        **options: Any,
    ) -> None:
        """Load the model; the first frame is fast then.

        Args:
            model, engine, precision, tile: see ``Denoiser.load``.
            batch: windows of a frame that are computed in one call of the engine.
            memory: most that the process may take, such as "2GB": a frame that needs more is refused. None:
                none is.
            sampler, options: see ``Denoiser.denoise``.
            queue: frames that may wait.
            when_full: what happens to a frame when as many wait: "drop-oldest" drops the one that waits
                longest, "drop-newest" drops this one, "block" holds up ``submit``.
            latency_ms: time from ``submit`` to the result that is to be held: each frame gets the most
                evaluations (symmetries of sampler matched) that fit, and at least one; None: as the options
                say.
            on_result: called in the denoising thread with each result. What it raises is logged and counted.
            seed: of the noise of samplers that draw.
            fuse: average each result with what is known of the frames before it, where they show the same;
                for samplers that draw nothing, and once a channel was measured.

        Raises:
            ModelError: there is no such model, or its file is damaged.
            EngineUnavailable: the engine cannot run here; for "auto", none can.
            ConfigError: an option is unknown or out of range, or does not fit the model or the sampler.
        """
        if queue < 1:
            raise ConfigError(f"queue {queue}: must hold at least 1 frame")
        if when_full not in get_args(WhenFull):
            raise ConfigError(f"when_full {when_full}: choose one of {', '.join(get_args(WhenFull))}")
        self._counts = Counts(latency_ms)
        self._model = LiveModel(
            model,
            engine,
            sampler,
            options,
            latency_ms=latency_ms,
            seed=seed,
            fuse=fuse,
            counts=self._counts,
            precision=precision,
            tile=tile,
            overlap=min(DEFAULT_OVERLAP, tile // 2),
            batch=batch,
        )
        try:
            self._memory = FrameMemory.of(memory, self._model.predictor, queue)
        except BaseException:
            self._model.close()
            raise
        self._queue: Waiting[Frame] = Waiting(queue, when_full)
        self._readers = Readers(queue, on_result, self._counts)
        self._lock, self._number, self._closed = Lock(), 0, False
        self._thread = Thread(target=self._run, name="baikal-live", daemon=True)
        self._thread.start()

    def submit(
        self, frame: Raw, metadata: Any = None, *, channel: Hashable = None, copy: bool = True
    ) -> Future[LiveResult]:
        """Have a frame denoised; returns at once, unless ``when_full`` is "block".

        Args:
            frame: (H, W), any real dtype.
            metadata: anything; comes back with the result.
            channel: frames of one channel share their mapping of intensities.
            copy: False: nobody will write to the frame any more, and it need not be copied.

        Returns:
            The result to come. It raises FrameDropped if the frame is dropped, ConfigError if it is not an
            image or needs more than ``memory``, and EngineError if the network fails. Cancelled, it takes its
            frame with it if that still waits.

        Raises:
            ConfigError: the denoiser is closed.
        """
        future: Future[LiveResult] = Future()
        pixels = np.array(frame, copy=True if copy else None)
        with self._lock:
            if self._closed:
                raise ConfigError("the live denoiser is closed: make another one for further frames")
            made = Frame(self._number, pixels, metadata, channel, time.perf_counter(), future)
            self._number += 1
            self._counts.add("submitted")
        if pixels.ndim != 2 or not pixels.size or pixels.dtype.kind not in "uif":
            found = f"frame {made.number}: {pixels.dtype} of shape {pixels.shape}"
            self._fail(made, ConfigError(f"{found}; needed are real numbers (H, W)"))
            return future
        if (refused := self._refused(made)) is not None:
            self._fail(made, refused)
            return future
        for dropped in self._queue.put(made):
            self._drop(dropped)
        future.add_done_callback(self._leave)
        return future

    def results(self) -> Waiting[LiveResult]:
        """An iterator over the results from now on, in order, until the denoiser or the iterator is closed.

        As many wait to be read as frames may wait in the queue; beyond that the oldest is left out and
        counted as unread.
        """
        return self._readers.new()

    def forget(self, channel: Hashable, dtype: np.dtype[Any]) -> None:
        """Free the mapping of intensities of a channel in a pixel type: its next frame is as its first."""
        self._model.streams.pop((channel, dtype), None)
        self._model.past.pop((channel, dtype), None)

    @property
    def queue(self) -> int:
        """Number of frames that may wait."""
        return self._queue.size

    @property
    def when_full(self) -> WhenFull:
        """The rule for a frame that finds the queue full: drop the oldest, drop this one, or block."""
        return self._queue.when_full

    def provenance(self) -> dict[str, Any]:
        """A record of what denoises the frames, as JSON holds it."""
        return self._model.provenance()

    @property
    def statistics(self) -> LiveStatistics:
        """Counts and times of the frames so far."""
        return self._counts.statistics(self._model.settled)

    def close(self, *, drain: bool = True) -> None:
        """Take no more frames, and end when those that were taken are denoised.

        Args:
            drain: False drops the frames that still wait.

        Raises:
            ConfigError: called by a callback, which would wait for itself.
        """
        if current_thread() is self._thread:
            raise ConfigError("close: a callback cannot close the live denoiser that waits for it")
        with self._lock:
            self._closed = True
        for frame in self._queue.close(keep=drain):
            self._drop(frame)
        self._thread.join()
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self) -> None:
        give_way()
        while (frame := self._queue.get()) is not None:
            if not frame.future.set_running_or_notify_cancel():
                self._counts.add("dropped")
                continue
            try:
                result = self._model.denoise(frame, len(self._queue))
            except Exception as error:  # whatever it is, the stream continues
                if not isinstance(error, BaikalError):
                    log.exception("frame %d failed", frame.number)
                self._fail(frame, error)
                continue
            frame.future.set_result(result)
            self._readers.tell(result)
        self._readers.end()

    def _refused(self, frame: Frame) -> ConfigError | None:
        """Why there is no memory for a frame; None if there is."""
        try:
            if self._memory is not None:
                self._memory.check(frame.pixels)
        except ConfigError as error:
            return ConfigError(f"frame {frame.number}: {error}")
        return None

    def _leave(self, future: Future[LiveResult]) -> None:
        """Take the frame of a future that is cancelled out of the queue."""
        if future.cancelled():
            for frame in self._queue.remove(lambda one: one.future is future):
                self._drop(frame)

    def _drop(self, frame: Frame) -> None:
        self._counts.add("dropped")
        if frame.future.set_running_or_notify_cancel():
            frame.future.set_exception(
                FrameDropped(
                    f"frame {frame.number}: dropped, as {self._queue.size} others waited or the stream ended"
                )
            )

    def _fail(self, frame: Frame, error: Exception) -> None:
        self._counts.add("failed")
        frame.future.set_exception(error)
