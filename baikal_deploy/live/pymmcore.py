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
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pymmcore_plus import CMMCorePlus, GeneratorMDASequence

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.locks import locked
from baikal_deploy.live.acquisition import Acquisition, index_of
from baikal_deploy.live.beside import Beside, check_holds_nobody_up
from baikal_deploy.live.denoiser import LiveDenoiser
from baikal_deploy.live.frame import LiveResult
from baikal_deploy.live.waiting import FrameDropped
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.naming import renamed
from baikal_deploy.volumes.paths import check_output

if TYPE_CHECKING:
    import useq

log = logging.getLogger(__name__)


def attach(core: CMMCorePlus, live: LiveDenoiser, sink: str | Path | None = None) -> Attachment:
    """Have every frame of the acquisitions of a core denoised, from now on.

    Args:
        core: whose ``mda.events.frameReady`` is listened to; the frames themselves stay what they are.
        live: gets a copy of each frame; each channel has a mapping of intensities of its own.
        sink: OME-Zarr to write the denoised stream to, with the axes and pixel sizes of the acquisition.
            Later acquisitions get _2, _3 and so on in their name; positions, parts of a grid and cameras _p0,
            _g0, _cam0. Frames that were dropped are 0 there, and listed in its attribute "baikal".

    Raises:
        ConfigError: a denoiser that would hold up the acquisition when its queue is full.
        VolumeError: the sink exists, or another attachment writes it.
    """
    check_holds_nobody_up(live)
    return Attachment(core, live, None if sink is None else Path(sink))


class Attachment:
    """A connection of a denoiser with a core, made by ``attach``. Detach it, or use it as a context manager.

    Attributes:
        live: the denoiser.
        errors: what went wrong beside the acquisition, in order: frames that could not be denoised or
            written. Frames that were dropped are counted in ``live.statistics``.
        outputs: images that were written completely.
    """

    def __init__(self, core: CMMCorePlus, live: LiveDenoiser, sink: Path | None) -> None:
        self.live, self._beside, self.outputs = live, Beside(log), list[Path]()
        self.errors = self._beside.errors
        self._core, self._sink = core, sink
        self._current: Acquisition | None = None
        self._number = 0
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
        return self._beside.wait(timeout)

    def detach(self) -> None:
        """Listen no more; what was taken is denoised and written all the same."""
        events = self._core.mda.events
        for signal, slot in (
            (events.sequenceStarted, self._started),
            (events.frameReady, self._frame),
            (events.sequenceFinished, self._finished),
        ):
            signal.disconnect(slot)  # with nothing else: in a Qt application these are signals of Qt
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
            acquisition = Acquisition(sequence, self._core.getPixelSizeUm(), self._sink_of(sequence))
            self._current = acquisition
            self._beside.begin()
        except Exception as error:
            self._beside.report("the acquisition is not denoised", error)

    def _sink_of(self, sequence: useq.MDASequence) -> Path | None:
        """Path that an acquisition is written to; None if it is not to be written."""
        if self._sink is None:
            return None
        if isinstance(sequence, GeneratorMDASequence):
            error = VolumeError(
                f"{self._sink}: single events do not say how large the image will be; run a "
                "useq.MDASequence, or write the results yourself (on_result of the denoiser)"
            )
            self._beside.report("the acquisition is denoised, but not written", error)
            return None
        return self._sink if self._number == 1 else renamed(self._sink, f"_{self._number}")

    def _frame(self, frame: Raw, event: useq.MDAEvent, meta: Any = None) -> None:
        acquisition, index = self._current, index_of(event)
        if acquisition is None:
            return
        names = [] if event.channel is None else [event.channel.config]
        if "cam" in index:
            names.append(f"camera {index['cam']}")
        try:
            acquisition.taken()
            metadata = {"index": index, "event": event, "meta": meta}
            future = self.live.submit(frame, metadata, channel=", ".join(names))
        except Exception as error:
            self._beside.report(f"frame {index}", error)
            self._conclude(acquisition, acquisition.done())
            return
        future.add_done_callback(lambda done: self._denoised(acquisition, index, done))

    def _denoised(self, acquisition: Acquisition, index: dict[str, int], done: Future[LiveResult]) -> None:
        """Write a result; called in the denoising thread, or where the frame was dropped."""
        try:
            acquisition.write(index, done.result().image)
        except FrameDropped:
            acquisition.dropped.append(index)
        except Exception as error:
            self._beside.report(f"frame {index}", error)
        self._conclude(acquisition, acquisition.done())

    def _finished(self, *_: Any) -> None:
        acquisition, self._current = self._current, None
        if acquisition is not None:
            self._conclude(acquisition, acquisition.end())

    def _conclude(self, acquisition: Acquisition, over: bool) -> None:
        if not over:
            return
        try:
            self.outputs += acquisition.finish(self.live.provenance())
        except Exception as error:
            self._beside.report("the end of the acquisition", error)
        self._beside.end()
