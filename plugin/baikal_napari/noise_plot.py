"""The noise of a channel against its intensity, measured and fitted, in the colours of the window."""

from __future__ import annotations

from qtpy.QtCore import QByteArray, QRectF, QSize
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QWidget

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.arrays import Values
from baikal_deploy.report.plots import HEIGHT, WIDTH, noise_fit

ACCENT = "#2f8fd8"
"""Colour of the fit, which is seen on dark and on light."""


class NoisePlot(QWidget):
    """Plot of what was measured, and of the fit: that of the page of baikal-run --report."""

    def __init__(self) -> None:
        super().__init__()
        self._svg = ""
        self.setVisible(False)

    def show_noise(self, curve: Values | None, noise: NoiseModel | None) -> None:
        """Show a measurement; nothing where there is no noise.

        Args:
            curve: see ``Denoiser.noise_curve``.
            noise: the fit.
        """
        drawn = curve is not None and len(curve) > 0 and noise is not None
        self._svg = noise_fit(curve, noise) if drawn and curve is not None and noise is not None else ""
        self.setVisible(bool(self._svg))
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Size of the plot in its own proportions."""
        return QSize(WIDTH * 2 // 3, HEIGHT * 2 // 3)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """The same: numbers of a smaller one cannot be read."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw it, in its own proportions."""
        if not self._svg:
            return
        renderer = QSvgRenderer(QByteArray(self._styled().encode()))
        scale = min(self.width() / WIDTH, self.height() / HEIGHT)
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            renderer.render(painter, QRectF(0, 0, WIDTH * scale, HEIGHT * scale))

    def _styled(self) -> str:
        """The plot with the colours of the window's text."""
        text = self.palette().color(QPalette.ColorRole.WindowText)
        soft, line = (
            _mixed(text, self.palette().color(QPalette.ColorRole.Window), share) for share in (0.7, 0.25)
        )
        style = (
            f".axis {{ fill: none; stroke: {soft} }} .grid {{ fill: none; stroke: {line} }}"
            f".dot {{ fill: {soft} }}"
            f".after {{ fill: none; stroke: {ACCENT}; stroke-width: 2.5 }}"
            f".small {{ fill: {text.name()}; font-size: 14px; font-family: sans-serif }}"
        )
        opened = f'<svg xmlns="http://www.w3.org/2000/svg" font-size="14" viewBox="0 0 {WIDTH} {HEIGHT}">'
        return f"{opened}<style>{style}</style>{self._svg.partition('>')[2]}"


def _mixed(first: QColor, second: QColor, share: float) -> str:
    """A colour between two others, as text."""
    red, green, blue = (
        round(share * own + (1 - share) * other)
        for own, other in (
            (first.red(), second.red()),
            (first.green(), second.green()),
            (first.blue(), second.blue()),
        )
    )
    return QColor(red, green, blue).name()
