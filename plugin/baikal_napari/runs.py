"""A run as napari shows it: its progress, and its results as layers."""

from __future__ import annotations

from dataclasses import dataclass

import napari
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from baikal_deploy import RunConfig, RunReport
from baikal_napari.jobs import Job, Slot
from baikal_napari.layers import LayerVolume
from baikal_napari.results import Source
from baikal_napari.running import Settings, configured, execute

STOPPED = "Stopped. What was finished is kept: Run continues there as long as the layer is open."


@dataclass(frozen=True)
class Finished:
    """A run that was finished: its options, what it reports, and what its layer was like."""

    config: RunConfig
    report: RunReport
    source: Source


class Running(QObject):
    """One run at a time.

    Attributes:
        told: a line for people.
        advanced: (done, all of it), in evaluations of planes.
        busy: whether one is going on, when that changes.
    """

    told = Signal(str)
    advanced = Signal(int, int)
    busy = Signal(bool)

    def __init__(self, viewer: napari.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._slot = viewer, Slot()
        self.is_busy = False

    def start(self, layer: Image, axes: str, settings: Settings) -> None:
        """Begin a run; returns at once.

        Args:
            layer: see ``check_layer``.
            axes: names of its axes, in order.
            settings: what is to be made of it.

        Raises:
            BaikalError: what is wrong can be said before the pixels are looked at.
        """
        job = Job()
        volume = LayerVolume.of(layer, axes, job.check)
        config, source = configured(volume, settings), Source.of(layer, volume.order)
        job.advanced.connect(self.advanced)
        job.done.connect(self._finish)
        job.failed.connect(self._fail)
        job.stopped.connect(self._stopped)
        self._slot.take(job)

        def work(job: Job) -> Finished:
            def progress(done: int, total: int) -> None:
                job.tell(job.advanced, done, total)

            return Finished(config, execute(volume, config, job.check, progress), source)

        self._set_busy(True)
        self.told.emit("Measuring the noise …")
        job.start(work)

    def stop(self) -> None:
        """Ask the run to end; does not wait."""
        self._slot.stop()

    def wait(self, seconds: float) -> bool:
        """Wait until the run has ended, so long at most; whether it has.

        Args:
            seconds: at most.
        """
        if self._slot.job is None:
            return True
        self._slot.job.wait(seconds)
        return not self._slot.job.is_running

    def _set_busy(self, busy: bool) -> None:
        self.is_busy = busy
        self.busy.emit(busy)

    def _finish(self, found: Finished) -> None:
        self._set_busy(False)
        config, source, add = found.config, found.source, self._viewer.add_layer
        result = add(source.result(config.target))
        if config.uncertainty is not None:
            add(source.uncertainty(config.uncertainty))
        if config.mask is not None:
            add(source.mask(config.mask))
        self._viewer.layers.selection.active = result
        done = "was there already" if found.report.before else "written"
        self.told.emit("; ".join([f"{config.target}: {done}", *found.report.notes]))

    def _fail(self, words: str) -> None:
        self._set_busy(False)
        self.told.emit(words)

    def _stopped(self) -> None:
        self._set_busy(False)
        self.told.emit(STOPPED)
