"""The controls of the dock widget: what to denoise, and how."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from baikal_deploy.diffusion.samplers.auto import BUDGETS
from baikal_deploy.errors import BaikalError
from baikal_deploy.models.manifest import AUTO_MODEL, DEFAULT_MODEL, find_model, read_manifest, shipped_models

DEFAULT_BUDGET = "balanced"
ALL = "all"
CHOOSES = "Of the models that come with the program, the one that suits the channel best."


class Form(QWidget):
    """Controls, and what they say.

    Attributes:
        layer_chosen: another layer was chosen.
        changed: anything else that a preview depends on was.
    """

    layer_chosen = Signal()
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.axes, self.channels = QComboBox(), QLineEdit(), QComboBox()
        self.models, self.about, self.budgets = QComboBox(), QLabel(), QComboBox()
        self.preview = QCheckBox("Preview what is seen")
        self.output, self.with_uncertainty, self.with_mask = (
            QLineEdit(),
            QCheckBox("uncertainty"),
            QCheckBox("mask"),
        )
        self.overwrite = QCheckBox("Replace what is there")
        self._fill()
        self._explain()
        self._lay_out()
        self._connect()

    @property
    def model(self) -> str:
        """Name of a shipped model, path of a file, or "auto"."""
        return str(self.models.currentData())

    @property
    def budget(self) -> str:
        """Budget of the sampler."""
        return str(self.budgets.currentData())

    @property
    def channel(self) -> int | None:
        """Number of the only channel; None: all."""
        number: int | None = self.channels.currentData()
        return number

    def show_channels(self, count: int) -> None:
        """Offer the channels of a layer.

        Args:
            count: how many there are; with one, nothing is offered.
        """
        if self.channels.count() != count + 1:
            self.channels.blockSignals(True)
            self.channels.clear()
            self.channels.addItem(ALL, None)
            for number in range(count):
                self.channels.addItem(str(number), number)
            self.channels.blockSignals(False)
        layout = self.layout()
        assert isinstance(layout, QFormLayout)
        layout.setRowVisible(self.channels, count > 1)

    def add_model(self, path: Path) -> None:
        """Offer a model of one's own, and choose it.

        Args:
            path: of the .onnx file.

        Raises:
            ModelError: it is not a model.
        """
        read_manifest(path)
        self.models.insertItem(0, path.name, str(path))
        self.models.setCurrentIndex(0)

    def _fill(self) -> None:
        self.models.addItem("auto: the best of these", AUTO_MODEL)
        for name in shipped_models():
            self.models.addItem(name, name)
        self.models.setCurrentIndex(self.models.findData(DEFAULT_MODEL))
        for name, evaluations in BUDGETS.items():
            times = "pass" if evaluations == 1 else "passes"
            self.budgets.addItem(f"{name} ({evaluations} {times})", name)
        self.budgets.setCurrentIndex(self.budgets.findData(DEFAULT_BUDGET))
        self._describe()

    def _explain(self) -> None:
        self.axes.setToolTip("What the layer's axes are, in order: t, c, z, y, x")
        self.budgets.setToolTip(
            "Passes of each plane through the network: more take longer and leave fewer artefacts"
        )
        self.preview.setToolTip("Denoise the middle of what is visible, again with every change")
        self.with_uncertainty.setToolTip(
            "Also the standard deviation of each pixel of the result; 8 times more work"
        )
        self.with_mask.setToolTip("Also where the result differs from the data by more than noise")
        self.overwrite.setToolTip("Replace an output of this name, once the new one is complete")
        self.output.setPlaceholderText("name of an OME-Zarr to write")

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for box in (self.layers, self.models, self.budgets):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(12)
        self.about.setWordWrap(True)
        self.about.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        form.addRow("layer", self.layers)
        form.addRow("axes", self.axes)
        form.addRow("channel", self.channels)
        form.addRow("model", _beside(self.models, _button("file…", self._ask_model)))
        form.addRow(self.about)
        form.addRow("budget", self.budgets)
        form.addRow(self.preview)
        form.addRow("write to", _beside(self.output, _button("…", self._ask_output)))
        form.addRow("also", _beside(self.with_uncertainty, self.with_mask))
        form.addRow(self.overwrite)
        self.show_channels(1)

    def _connect(self) -> None:
        self.layers.currentIndexChanged.connect(lambda _: self.layer_chosen.emit())
        self.models.currentIndexChanged.connect(lambda _: self._describe())
        for box in (self.models, self.budgets, self.channels):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.axes.textEdited.connect(lambda _: self.changed.emit())
        self.preview.toggled.connect(lambda _: self.changed.emit())

    def _describe(self) -> None:
        if self.model == AUTO_MODEL:
            self.about.setText(CHOOSES)
            return
        try:
            card = read_manifest(find_model(self.model)).card
        except BaikalError as error:
            self.about.setText(str(error))
            return
        self.about.setText(card.get("description", "The model says nothing of itself."))
        self.about.setToolTip(card.get("limits", ""))

    def _ask_model(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "A model of baikal-export", "", "ONNX (*.onnx)")
        if name:
            try:
                self.add_model(Path(name))
            except BaikalError as error:
                self.about.setText(str(error))

    def _ask_output(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "An OME-Zarr to write", self.output.text(), "OME-Zarr (*.ome.zarr)"
        )
        if name:
            self.output.setText(name if name.endswith(".zarr") else f"{name}.ome.zarr")


def _button(text: str, act: object) -> QPushButton:
    button = QPushButton(text)
    button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    button.clicked.connect(lambda _: act())  # type: ignore[operator]
    return button


def _beside(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row
