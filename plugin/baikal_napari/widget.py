"""The dock widget: it listens to the controls and the viewer, and shows what comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from baikal_deploy.errors import BaikalError, ConfigError
from baikal_deploy.report.words import describe_noise
from baikal_napari.form import Form
from baikal_napari.layers import bare, check_axes, check_layer, guess_axes, path_of
from baikal_napari.noise_plot import NoisePlot
from baikal_napari.preview import Measured
from baikal_napari.running import ENDING, Settings
from baikal_napari.runs import Running
from baikal_napari.shown import Asked, Preview

NO_LAYER = "Open an image, or choose File > Open Sample > Baikal Deploy."
STOPPING = "Stopping after what is being computed …"


class Denoise(QWidget):
    """Denoise an image layer.

    Attributes:
        form: the controls.
        previews: the preview.
        running: the run.
        message: the line at the foot.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.form, self.plot, self.noise = Form(), NoisePlot(), _wrapped(QLabel())
        self.message, self.progress = _wrapped(QLabel()), QProgressBar()
        self.run_button, self.stop_button = QPushButton("Run"), QPushButton("Stop")
        self.previews, self.running = Preview(napari_viewer, self), Running(napari_viewer, self)
        self._lay_out()
        self._connect()
        self._list_layers()

    @property
    def layer(self) -> Image | None:
        """The chosen layer; None without any."""
        found = self.form.layers.currentData()
        return found if isinstance(found, Image) else None

    def start(self) -> None:
        """Begin a run with what the controls say."""
        try:
            layer = check_layer(self._chosen())
            self.running.start(layer, self.form.axes.text(), self._settings())
        except BaikalError as error:
            self.message.setText(str(error))

    def stop(self) -> None:
        """Ask the run to end."""
        self.message.setText(STOPPING)
        self.running.stop()

    def _chosen(self) -> Image:
        if self.layer is None:
            raise ConfigError(NO_LAYER)
        return self.layer

    def _settings(self) -> Settings:
        form = self.form
        if not form.output.text().strip():
            raise ConfigError(f"Say where to write the result: a name that ends in {ENDING}")
        return Settings(
            form.model,
            form.budget,
            form.channel,
            Path(form.output.text().strip()).expanduser(),
            form.with_uncertainty.isChecked(),
            form.with_mask.isChecked(),
            form.overwrite.isChecked(),
        )

    def _lay_out(self) -> None:
        column, buttons = QVBoxLayout(self), QHBoxLayout()
        for button in (self.run_button, self.stop_button):
            buttons.addWidget(button)
        column.addWidget(self.form)
        column.addLayout(buttons)
        for widget in (self.progress, self.message, self.plot, self.noise):
            column.addWidget(widget)
        column.addStretch()
        self._show_busy(False)

    def _connect(self) -> None:
        self.form.layer_chosen.connect(self._choose_layer)
        self.form.changed.connect(self._change)
        self.run_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.previews.told.connect(self.message.setText)
        self.previews.measured.connect(self._show_noise)
        self.running.told.connect(self.message.setText)
        self.running.advanced.connect(self._show_progress)
        self.running.busy.connect(self._show_busy)
        layers, active = self._viewer.layers.events, self._viewer.layers.selection.events.active
        self._events = (layers.inserted, layers.removed, layers.reordered, active)
        for event in self._events:
            event.connect(self._list_layers)
        ending, application = _Ending(self), QApplication.instance()
        self.destroyed.connect(ending)
        if application is not None:
            application.aboutToQuit.connect(ending)  # widgets may outlive it

    def _list_layers(self, event: Any = None) -> None:
        """Offer the layers of the viewer; the chosen one stays, or else the active one is."""
        box, before = self.form.layers, self.layer
        layers = map(bare, self._viewer.layers)
        found = [one for one in layers if isinstance(one, Image) and not self.previews.shows(one)]
        active = bare(self._viewer.layers.selection.active)
        box.blockSignals(True)
        box.clear()
        for one in found:
            box.addItem(one.name, one)
        keep = before if before in found else active if active in found else found[-1] if found else None
        box.setCurrentIndex(found.index(keep) if keep in found else -1)
        box.blockSignals(False)
        if keep is not before or not found:
            self._choose_layer()
        if active is not None and not isinstance(active, Image):
            self._refuse(active)

    def _refuse(self, layer: Any) -> None:
        try:
            check_layer(layer)
        except ConfigError as error:
            self.message.setText(str(error))

    def _choose_layer(self) -> None:
        layer = self.layer
        self.previews.clear()
        self.plot.show_noise(None, None)
        self.noise.setText("")
        self.message.setText("" if layer is not None else NO_LAYER)
        self.form.axes.setText("" if layer is None else guess_axes(layer) if layer.ndim <= 5 else "")
        self.form.output.setText("" if layer is None else _output_for(layer))
        self._change()

    def _change(self) -> None:
        """Ask for another preview, if one is wanted; say what is wrong, if anything is."""
        if self.layer is None:
            return
        try:
            layer, axes = check_layer(self.layer), self.form.axes.text()
            check_axes(layer, axes)
        except ConfigError as error:
            self.previews.clear()
            self.message.setText(str(error))
            return
        self.form.show_channels(layer.data.shape[axes.index("c")] if "c" in axes else 1)
        if not self.form.preview.isChecked() or self.running.is_busy:
            self.previews.clear()
        else:
            self.previews.ask(Asked(layer, axes, self.form.model, self.form.budget))

    def _show_noise(self, found: Measured) -> None:
        self.plot.show_noise(found.curve, found.measurement.noise)
        self.noise.setText("; ".join([describe_noise(found.measurement), *found.measurement.notes()]))

    def _show_progress(self, done: int, total: int) -> None:
        self.progress.setMaximum(max(total, 1))
        self.progress.setValue(done)
        self.message.setText(f"{done} of {total} passes of planes through the network")

    def _show_busy(self, busy: bool) -> None:
        self.form.setEnabled(not busy)
        self.run_button.setEnabled(not busy)
        self.stop_button.setEnabled(busy)
        self.progress.setVisible(busy)
        self.progress.setRange(0, 0)
        if busy:
            self.form.preview.setChecked(False)  # it would take time from the run


class _Ending:
    """What is done when the widget is gone: work is asked to end, and nothing is listened to any more."""

    def __init__(self, widget: Denoise) -> None:
        self._previews, self._running = widget.previews, widget.running
        self._events, self._listener = widget._events, widget._list_layers
        self._done = False

    def __call__(self) -> None:
        if self._done:
            return
        self._done = True
        self._running.stop()
        self._previews.end()
        for event in self._events:
            event.disconnect(self._listener)


def _wrapped(label: QLabel) -> QLabel:
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _output_for(layer: Image) -> str:
    """Name of a result beside the file that a layer is of; nothing for a layer without one."""
    path = path_of(layer)
    if path is None:
        return ""
    name = layer.name.replace("/", "_").removesuffix(".zarr").removesuffix(".ome")
    return str(path.with_name(f"{name}_denoised{ENDING}"))
