"""The preview as napari shows it: a layer that follows the controls, the sliders and the camera."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Thread
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from baikal_deploy.errors import BaikalError
from baikal_deploy.pixels.arrays import Raw
from baikal_napari.jobs import Job, Slot
from baikal_napari.layers import LayerVolume
from baikal_napari.preview import Measured, Previewer, Wish
from baikal_napari.results import Source, remove
from baikal_napari.view import what_is_seen

PAUSE = 300
"""Milliseconds without a change after which a preview is made."""
AT_WORK = "Making a preview …"


@dataclass(frozen=True)
class Asked:
    """What a preview is asked of: a layer and the names of its axes, a model and a budget."""

    layer: Image
    axes: str
    model: str
    budget: str


class Preview(QObject):
    """Makes previews some time after the last change, and shows them in the viewer.

    Attributes:
        told: a line for people; empty when a preview is there.
        measured: the channel with its noise.
    """

    told = Signal(str)
    measured = Signal(object)

    def __init__(self, viewer: napari.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._slot, self._previewer = Slot(), Previewer()
        self._wish: Wish | None = None
        self._layer: Image | None = None
        self._timer = QTimer(self, singleShot=True, interval=PAUSE)
        self._timer.timeout.connect(self._begin)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        self._events = (camera.center, camera.zoom, dims.point, dims.order, dims.ndisplay)
        for event in self._events:
            event.connect(self._moved)
        self._asked: Asked | None = None

    def ask(self, asked: Asked) -> None:
        """Ask for a preview; it takes the place of the one before.

        Args:
            asked: of what.
        """
        self._asked = asked
        self._slot.stop()
        self._timer.start()

    def clear(self) -> None:
        """Show none any more."""
        self._asked = self._wish = None
        self._timer.stop()
        self._slot.stop()
        remove(self._viewer, self._layer)
        self._layer = None

    def end(self) -> None:
        """Stop for good, and free the models when that is done; does not wait."""
        self._slot.stop()
        for event in self._events:
            event.disconnect(self._moved)
        Thread(target=self._previewer.close, name="baikal-close").start()

    def shows(self, layer: Any) -> bool:
        """True for the layer of the preview itself.

        Args:
            layer: any.
        """
        return layer is self._layer

    def _moved(self, event: Any = None) -> None:
        if self._asked is not None:
            self.ask(self._asked)

    def _begin(self) -> None:
        asked, job = self._asked, Job()
        if asked is None or asked.layer not in self._viewer.layers:
            return
        try:
            volume = LayerVolume.of(asked.layer, asked.axes, job.check)
            seen = what_is_seen(self._viewer, asked.layer, asked.axes, volume.info)
        except BaikalError as error:
            self.told.emit(str(error))
            return
        wish = Wish(volume, seen, asked.model, asked.budget)
        self._wish = wish
        self._slot.take(job)
        job.found.connect(self._show)
        job.done.connect(self._measure)
        job.failed.connect(self._fail)
        self.told.emit(AT_WORK)

        def work(job: Job) -> tuple[Wish, Measured]:
            job.tell(job.found, (wish, self._previewer.denoised(wish, job.check)))
            return wish, self._previewer.noise(wish, job.check)

        job.start(work)

    def _show(self, found: tuple[Wish, Raw]) -> None:
        wish, pixels = found
        if wish is not self._wish or self._asked is None or self._asked.layer not in self._viewer.layers:
            return
        layer = self._asked.layer
        made = Source.of(layer, wish.volume.order).preview(pixels, wish.seen.start, layer)
        if self._layer in self._viewer.layers and self._layer is not None and self._layer.ndim == made.ndim:
            self._layer.data, self._layer.translate = made.data, made.translate
            self._layer.contrast_limits = made.contrast_limits
        else:
            self._add(made, layer)
        self.told.emit("")

    def _add(self, made: Image, above: Image) -> None:
        layers, active = self._viewer.layers, self._viewer.layers.selection.active
        self._layer = made
        layers.insert(layers.index(above) + 1, made)
        layers.selection.active = active

    def _measure(self, found: tuple[Wish, Measured]) -> None:
        if found[0] is self._wish:
            self.measured.emit(found[1])

    def _fail(self, words: str) -> None:
        if self.sender() is self._slot.job:
            self.told.emit(words)
