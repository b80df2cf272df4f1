"""Denoising beside an acquisition of pymmcore-plus. Nothing here raises into the acquisition, or waits in it.

>>> from pymmcore_plus import CMMCorePlus
>>> from baikal_deploy.live import LiveDenoiser
>>> from baikal_deploy.live.pymmcore import attach
>>> with LiveDenoiser("nuclei") as live, attach(core, live, sink="denoised.ome.zarr") as attached:
...     core.run_mda(sequence).join()
...     attached.wait()
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from threading import Condition, Lock
from typing import TYPE_CHECKING, Any, Self

from baikal_deploy.config import renamed
from baikal_deploy.errors import BaikalError, ConfigError
from baikal_deploy.intensity import Raw
from baikal_deploy.live.denoiser import LiveDenoiser, LiveResult
from baikal_deploy.live.sink import FrameSink, stream_info
from baikal_deploy.live.waiting import FrameDropped
from baikal_deploy.locks import locked
from baikal_deploy.volumes.stores import check_output

if TYPE_CHECKING:
    import useq
    from pymmcore_plus import CMMCorePlus

log = logging.getLogger(__name__)


def attach(core: CMMCorePlus, live: LiveDenoiser, sink: str | Path | None = None) -> Attachment:
    """Have every frame of the acquisitions of a core denoised, from now on.

    Args:
        core: whose ``mda.events.frameReady`` is listened to; the frames themselves stay what they are.
        live: gets a copy of each frame; each channel has a mapping of intensities of its own.
        sink: OME-Zarr to write the denoised stream to, with the axes and pixel sizes of the acquisition.
            Later acquisitions get _2, _3 and so on in their name, and positions _p0, _p1. Frames that were
            dropped are 0 there, and listed in its attribute "baikal".

    Raises:
        ConfigError: a denoiser that would hold up the acquisition when its queue is full.
        VolumeError: the sink exists, or another attachment writes it.
    """
    if live.when_full == "block":
        raise ConfigError('attach: when_full="block" would hold up the acquisition; take drop-oldest')
    return Attachment(core, live, None if sink is None else Path(sink))


class Attachment:
    """Made by ``attach``. Detach it, or use it as a context manager.

    Attributes:
        live: the denoiser.
        errors: what went wrong beside the acquisition, in order: frames that could not be denoised or
            written. Frames that were dropped are counted in ``live.statistics``.
        outputs: images that were written completely.
    """

    def __init__(self, core: CMMCorePlus, live: LiveDenoiser, sink: Path | None) -> None:
        self.live, self.errors, self.outputs = live, list[Exception](), list[Path]()
        self._core, self._sink = core, sink
        self._sequence: _Sequence | None = None
        self._number, self._open = 0, 0
        self._changed = Condition()
        with ExitStack() as stack:
            if sink is not None:
                check_output(sink, overwrite=False)
                stack.enter_context(locked(sink))
            events = core.mda.events
            events.sequenceStarted.connect(self._started)
            events.frameReady.connect(self._frame)
            events.sequenceFinished.connect(self._finished)
            self._locks = stack.pop_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the frames of all finished acquisitions are denoised, and written if they are to be.

        Args:
            timeout: in seconds.

        Returns:
            False if the time was not enough.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout)

    def detach(self) -> None:
        """Listen no more; what was taken is denoised and written all the same."""
        events = self._core.mda.events
        for signal, slot in (
            (events.sequenceStarted, self._started),
            (events.frameReady, self._frame),
            (events.sequenceFinished, self._finished),
        ):
            signal.disconnect(slot, missing_ok=True)
        self._finished()
        self.wait()
        self._locks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()

    def _started(self, sequence: useq.MDASequence, *meta: Any) -> None:
        try:
            self._finished()  # of one that never said that it ended
            self._number += 1
            sequence_sinks = _Sequence.of(sequence, self._core, self._sink, self._number)
            with self._changed:
                self._sequence, self._open = sequence_sinks, self._open + 1
        except Exception as error:
            self._report("the acquisition is not denoised", error)

    def _frame(self, frame: Raw, event: useq.MDAEvent, meta: Any = None) -> None:
        sequence = self._sequence
        if sequence is None:
            return
        index = {str(getattr(axis, "value", axis)): position for axis, position in event.index.items()}
        channel = None if event.channel is None else event.channel.config
        try:
            sequence.taken()
            future = self.live.submit(frame, {"index": index, "event": event, "meta": meta}, channel=channel)
        except Exception as error:
            self._report(f"frame {index}", error)
            self._conclude(sequence, sequence.done())
            return
        future.add_done_callback(lambda done: self._denoised(sequence, index, done))

    def _denoised(self, sequence: _Sequence, index: Mapping[str, int], done: Future[LiveResult]) -> None:
        """In the denoising thread, or where the frame was dropped."""
        try:
            sequence.write(index, done.result().image)
        except FrameDropped:
            sequence.dropped.append(dict(index))
        except Exception as error:
            self._report(f"frame {dict(index)}", error)
        self._conclude(sequence, sequence.done())

    def _finished(self, *_: Any) -> None:
        sequence, self._sequence = self._sequence, None
        if sequence is not None:
            self._conclude(sequence, sequence.end())

    def _conclude(self, sequence: _Sequence, over: bool) -> None:
        if not over:
            return
        try:
            self.outputs += sequence.finish(self.live.provenance())
        except Exception as error:
            self._report("the end of the acquisition", error)
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _report(self, what: str, error: Exception) -> None:
        self.errors.append(error)
        log.error("%s: %s", what, error, exc_info=None if isinstance(error, BaikalError) else error)


class _Sequence:
    """One acquisition: how many of its frames are under way, and where they are written.

    Attributes:
        dropped: indices of the frames that were dropped.
    """

    def __init__(self, path: Path | None, make: Callable[[Path], FrameSink] | None, several: bool) -> None:
        self.dropped = list[dict[str, int]]()
        self._path, self._make, self._several = path, make, several
        self._sinks = dict[Path, FrameSink]()
        self._lock, self._under_way, self._ended = Lock(), 0, False

    @classmethod
    def of(cls, sequence: useq.MDASequence, core: CMMCorePlus, sink: Path | None, number: int) -> Self:
        """Args: number: of the acquisition, from 1."""
        if sink is None:
            return cls(None, None, False)
        sizes = {str(getattr(axis, "value", axis)): size for axis, size in sequence.sizes.items() if size}
        scale = _scale(sequence, core)
        channels = [channel.config for channel in sequence.channels]
        several = sizes.get("p", 1) * sizes.get("g", 1) > 1
        path = sink if number == 1 else renamed(sink, f"_{number}")
        leading = {name: size for name, size in sizes.items() if name in "tcz"}
        return cls(
            path, lambda place: FrameSink(place, stream_info(place, leading, scale, channels)), several
        )

    def taken(self) -> None:
        """One more frame is under way."""
        with self._lock:
            self._under_way += 1

    def done(self) -> bool:
        """One frame less is; whether all is over."""
        with self._lock:
            self._under_way -= 1
            return self._ended and self._under_way == 0

    def end(self) -> bool:
        """No more frames will come; whether all is over."""
        with self._lock:
            self._ended = True
            return self._under_way == 0

    def write(self, index: Mapping[str, int], image: Raw) -> None:
        """Raises VolumeError: see ``FrameSink.write``."""
        if self._path is None or self._make is None:
            return
        place = "".join(f"_{axis}{index[axis]}" for axis in "pg" if axis in index) if self._several else ""
        path = renamed(self._path, place)
        self._sinks.setdefault(path, self._make(path)).write(index, image)

    def finish(self, provenance: Mapping[str, Any]) -> list[Path]:
        """Complete what was written; where. Raises VolumeError: a full disk and the like."""
        for sink in self._sinks.values():
            frames = {"written": len(sink.written), "dropped": self.dropped}
            sink.finish({**provenance, "frames": frames})
        return [path for path, sink in self._sinks.items() if sink.written]


def _scale(sequence: useq.MDASequence, core: CMMCorePlus) -> dict[str, float]:
    """Pixel sizes that are known: 0 stands for an unknown one."""
    pixel = float(core.getPixelSizeUm())
    found = {"y": pixel, "x": pixel, "z": getattr(sequence.z_plan, "step", 0) or 0}
    interval = getattr(sequence.time_plan, "interval", None)
    found["t"] = 0 if interval is None else interval.total_seconds()
    return {axis: abs(float(size)) for axis, size in found.items() if size}
