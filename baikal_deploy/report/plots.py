"""Plots of a report, as SVG in the page's colours. They hold numbers alone, and nothing to escape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.arrays import Raw, Values
from baikal_deploy.pixels.figures import figures
from baikal_deploy.report.words import total_std

WIDTH, HEIGHT = 480, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 16, 40
BINS = 96
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
LEAST = 0.5
"""Pixels at the foot of a histogram: a logarithm has no zero."""
Anchor = Literal["start", "middle", "end"]
SHOWN = (0.05, 99.95)
"""Percentiles that a histogram reaches from and to."""


@dataclass(frozen=True)
class Axes:
    """Ranges of a plot; they turn numbers into places."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> str:
        """Place of a point in the picture, as SVG has it: "across,down"."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        place = LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)
        return f"{place[0]:.1f},{place[1]:.1f}"

    def line(self, points: Iterable[tuple[float, float]], style: str) -> str:
        """A line through points, as an element of SVG."""
        return f'<polyline class="{style}" points="{" ".join(self.at(x, y) for x, y in points)}"/>'

    def text(self, x: float, y: float, text: str, move: tuple[float, float], anchor: Anchor = "start") -> str:
        """A small text beside a point, as an element of SVG.

        Args:
            x, y: the point.
            text: holds nothing to escape.
            move: from the point, across and down (Qt draws no dx and dy).
            anchor: which end of the text is there.
        """
        across, down = (float(at) + by for at, by in zip(self.at(x, y).split(","), move, strict=True))
        place = f'x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}"'
        return f'<text class="small" {place}>{text}</text>'


def histograms(before: Raw, after: Raw, intensity: IntensityMap) -> str:
    """Histograms of the intensities before and after, with those that the network sees as −1 and 1.

    Args:
        before, after: samples of the same pixels, flat and finite.
        intensity: the map to the network's scale.
    """
    edges = _edges(before, after)
    heights = [np.log10(np.maximum(np.histogram(pixels, edges)[0], LEAST)) for pixels in (before, after)]
    bottom = math.log10(LEAST)
    axes = Axes((edges[0], edges[-1]), (bottom, max(1.0, *(float(one.max()) for one in heights)) * 1.08))
    parts = [_frame(axes, "intensity", "pixels", _power_of_ten, whole=True)]
    steps = [list(zip(np.repeat(edges, 2)[1:-1], np.repeat(one, 2), strict=True)) for one in heights]
    closed = [(edges[0], bottom), *steps[0], (edges[-1], bottom)]
    parts += [axes.line(closed, "before"), axes.line(steps[1], "after")]
    for end, name in ((intensity.low, "−1"), (intensity.high, "+1")):
        if not intensity.is_constant and axes.x[0] <= end <= axes.x[1]:
            parts.append(axes.line([(end, bottom), (end, axes.y[1])], "mark"))
            parts.append(axes.text(end, axes.y[1], name, (4, 10)))
    return _svg(parts)


def _edges(before: Raw, after: Raw) -> Values:
    both = np.concatenate([before, after]).astype(np.float64)
    low, high = np.percentile(both, SHOWN) if both.size else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, low + 0.5
    if before.dtype.kind in "iu":  # bins of unequal numbers of grey levels would look like a comb
        width = math.ceil((high - low + 1) / BINS)
        edges: Values = np.floor(low) - 0.5 + width * np.arange(math.ceil((high - low + 1) / width) + 1)
        return edges
    return np.linspace(low, high, BINS + 1)


def _power_of_ten(power: float) -> str:
    return f"10{str(round(power)).translate(RAISED)}" if power else "1"


def noise_fit(curve: Values, noise: NoiseModel) -> str:
    """Standard deviation of the noise against intensity: what was measured, and the fit.

    Args:
        curve: see ``Denoiser.noise_curve``; at least one bin.
    """
    measured = noise.correlation * np.sqrt(curve[:, 1])
    low, high = float(curve[:, 0].min()), float(curve[:, 0].max())
    spread = np.linspace(low, high, 100)
    fitted = [total_std(noise, float(x)) for x in spread]
    margin = 0.03 * (high - low) or 0.5
    axes = Axes((low - margin, high + margin), (0, 1.12 * max(float(measured.max()), *fitted)))
    points = [axes.at(x, y).split(",") for x, y in zip(curve[:, 0], measured, strict=True)]
    dots = [f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>' for x, y in points]
    line = axes.line(zip(spread, fitted, strict=True), "after")
    return _svg([_frame(axes, "intensity", "noise", figures), line, *dots])


def _frame(axes: Axes, x: str, y: str, form: Callable[[float], str], whole: bool = False) -> str:
    """Axes with ticks and their names.

    Args:
        form: of the numbers at y.
        whole: only whole numbers at y.
    """
    (left, right), (bottom, top) = axes.x, axes.y
    parts = [axes.line([(left, top), (left, bottom), (right, bottom)], "axis")]
    for tick in _ticks(left, right):
        parts.append(axes.text(tick, bottom, figures(tick), (0, 15), "middle"))
    for tick in [t for t in _ticks(bottom, top) if not whole or t == round(t)]:
        parts.append(axes.line([(left, tick), (right, tick)], "grid"))
        parts.append(axes.text(left, tick, form(tick), (-6, 4), "end"))
    parts.append(axes.text(right, bottom, x, (0, 32), "end"))
    parts.append(axes.text(left, top, y, (6, 2)))
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, about five."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(parts)}</svg>'
