"""Plots of a page, as SVG that takes the page's text colour."""

from __future__ import annotations

import io
import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from baikal_evaluation.results import METRICS, Results
from baikal_evaluation.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PSNR = METRICS[0]
INK = "#010203"
"""Colour that stands for the page's text colour; nothing else is drawn in it."""
COLOURS = (
    "#1f8fd6", "#e8702a", "#2f9e57", "#c74fb4", "#8a76d8",
    "#c9a10e", "#159a9c", "#d94a5b", "#9a7b62", "#7f8c98",
)  # fmt: skip
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼"}
"""Markers as matplotlib has them, and as text has them."""
WIDTH, LOWEST = 5.2, 3.2
"""Width and least height of a plot, in inches."""
METADATA = ("Date", "Creator", "Format", "Type")
"""Entries that matplotlib writes into a file unless told not to."""
LABEL = 24
"""Characters of a line of an axis label."""
STYLE: dict[Any, Any] = {
    "font.size": 9, "svg.fonttype": "none", "font.family": "sans-serif", "text.parse_math": False,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "baikal",
}  # fmt: skip
MEAN: dict[str, Any] = {"ms": 7, "mec": INK, "mew": 0.8, "capsize": 3, "lw": 1.6}
"""Style of means and their intervals."""


class Mark(NamedTuple):
    """Look of a method: a colour, and a marker for those who cannot tell the colours apart."""

    colour: str
    marker: str

    @property
    def character(self) -> str:
        """Marker as text has it."""
        return MARKERS[self.marker]


def mark(number: int) -> Mark:
    """Mark of a method.

    Args:
        number: its place among the methods, from 0.
    """
    shift = number + number // len(COLOURS)
    return Mark(COLOURS[number % len(COLOURS)], list(MARKERS)[shift % len(MARKERS)])


def plots(results: Results) -> dict[str, str]:
    """SVG of each plot, by what it shows; none where there is no PSNR."""
    if PSNR not in results.metrics:
        return {}
    return {
        "PSNR of each image, and the mean with its 95 % interval": _psnr_by_method(results),
        "Mean PSNR against the cost": _psnr_by_nfe(results),
    }


def _psnr_by_method(results: Results) -> str:
    from matplotlib import rc_context  # slow to import

    labels = [_wrapped(method) for method in results.methods]
    with rc_context(STYLE):
        figure, axes = _figure(0.9 + 0.3 * sum(1 + label.count("\n") for label in labels))
        for place, (method, summary) in enumerate(results.summary().items()):
            values = [row.psnr for row in results.done(method).values() if row.psnr is not None]
            look, heights = mark(place), place + np.linspace(-0.25, 0.25, len(values) + 2)[1:-1]
            axes.plot(values, heights, look.marker, color=look.colour, ms=4, mew=0, alpha=0.6)
            if mean := summary.metrics.get(PSNR.name):
                _draw_mean(axes, look, mean.mean, place, xerr=_reach(mean))
        axes.set(xlabel=PSNR.label, yticks=range(len(labels)), yticklabels=labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        return _svg(figure, "psnr")


def _psnr_by_nfe(results: Results) -> str:
    from matplotlib import rc_context
    from matplotlib.ticker import ScalarFormatter

    with rc_context(STYLE):
        figure, axes = _figure(LOWEST)
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)  # as many methods have no network at all
        for place, summary in enumerate(results.summary().values()):
            if summary.nfe is not None and (mean := summary.metrics.get(PSNR.name)):
                _draw_mean(axes, mark(place), summary.nfe, mean.mean, yerr=_reach(mean))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlim(left=-0.4)
        axes.set(xlabel="network evaluations per plane (NFE)", ylabel=PSNR.label)
        return _svg(figure, "nfe")


def _wrapped(method: str) -> str:
    """Name in lines that end at its commas."""
    lines = textwrap.fill(method.replace(",", ", "), LABEL, break_on_hyphens=False)
    return lines.replace(", ", ",")


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, max(LOWEST, height)), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.2, color=INK, lw=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _draw_mean(axes: Axes, look: Mark, x: float, y: float, **reach: Any) -> None:
    axes.errorbar(
        x, y, **reach, fmt=look.marker, color=look.colour, ms=7, mec=INK, mew=0.8, capsize=3, lw=1.6
    )


def _reach(interval: Interval) -> list[list[float]]:
    """Length of an error bar to both sides."""
    return [[interval.mean - interval.low], [interval.high - interval.mean]]


def _svg(figure: Figure, name: str) -> str:
    """The figure for a page that has others: nothing before the element, no size, and names of its own."""
    file = io.StringIO()
    figure.savefig(
        file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    text = file.getvalue()
    svg = text[text.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1)
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
