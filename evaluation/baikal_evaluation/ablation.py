"""The sweeps of the paper's Figure 2, with the published settings where nothing is swept."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from baikal_evaluation.report.files import write_text
from baikal_evaluation.results import Results, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ablation = Literal["start", "mixing", "repeats"]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
COLUMNS = ["curve", "x", "method", "nfe", "ssim", "ssim_low", "ssim_high", "psnr", "mse"]


@dataclass(frozen=True)
class Point:
    """One setting of a sweep.

    Attributes:
        curve: the line of the plot that it belongs to.
        x: its place on the axis.
        method: what is evaluated, as ``methods.Spec`` reads it.
    """

    curve: str
    x: int
    method: str


@dataclass(frozen=True)
class Sweep:
    """A panel of the figure.

    Attributes:
        name: of the panel.
        axis: label of the x axis.
        points: curve by curve.
    """

    name: Ablation
    axis: str
    points: tuple[Point, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of all points, in their order."""
        return tuple(point.method for point in self.points)

    def write(self, folder: Path, results: Results) -> list[Path]:
        """Write ablation-NAME.csv, a line of each point, and ablation-NAME.svg.

        Args:
            folder: an existing one.
            results: an evaluation of ``methods``.

        Returns:
            Paths of the two files.

        Raises:
            EvaluationError: they cannot be written.
        """
        table, plot = (folder / f"ablation-{self.name}{suffix}" for suffix in (".csv", ".svg"))
        summary = results.summary()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_line(point, summary[point.method]) for point in self.points)
        write_text(table, text.getvalue())
        write_text(plot, self._plot(summary))
        return [table, plot]

    def _plot(self, summary: dict[str, Summary]) -> str:
        from matplotlib import rc_context  # slow to import
        from matplotlib.figure import Figure

        with rc_context({"svg.hashsalt": "baikal"}):
            figure = Figure(figsize=(6.6, 3.6), layout="constrained")
            axes: Axes = figure.subplots()
            for curve in dict.fromkeys(point.curve for point in self.points):
                points = [point for point in self.points if point.curve == curve]
                known = [point for point in points if "ssim" in summary[point.method].metrics]
                heights = [summary[point.method].metrics["ssim"].mean for point in known]
                axes.plot([point.x for point in known], heights, "o-", ms=3, lw=1.2, label=curve)
            axes.set(xlabel=self.axis, ylabel="SSIM")
            axes.grid(alpha=0.3)
            figure.legend(fontsize="small", loc="outside right upper")
            drawn = io.StringIO()
            figure.savefig(drawn, format="svg", metadata={"Date": None})
        return drawn.getvalue()


def _line(point: Point, summary: Summary) -> list[object]:
    head = [point.curve, point.x, point.method, summary.nfe]
    if "ssim" not in summary.metrics:  # it failed on every image
        return head
    ssim, psnr, mse = (summary.metrics[name] for name in ("ssim", "psnr", "mse"))
    return [*head, *ssim, psnr.mean, mse.mean]


def sweep(ablation: Ablation) -> Sweep:
    """Sweep of Figure 2 left (start), middle (mixing) or right (repeats)."""
    axis, points = {
        "start": ("starting timestep t'", _start()),
        "mixing": ("timestep at which mixing stops", _mixing()),
        "repeats": ("repeats R", _repeats()),
    }[ablation]
    return Sweep(ablation, axis, tuple(points))


def _start() -> Iterator[Point]:
    for start in (10, 25, 50, 75, 100, 150, 200, 300):
        yield Point("forward-backward", start, f"forward-backward,preset=paper,start={start}")


def _mixing() -> Iterator[Point]:
    for weights, stop in product(("constant", "linear", "cosine", "exponential"), (0, 10, 20, 35, 50, 75)):
        yield Point(f"{weights} weights", stop, f"mixing,preset=paper,weights={weights},stop={stop}")


def _repeats() -> Iterator[Point]:
    """Points of Figure 2 right: repainting continues below ``stop``, as in the figure."""
    for renoise, stop, repeats in product((False, True), (10, 20, 50), (1, 2, 3, 5, 7)):
        kind = "renoised" if renoise else "published"
        options = f"renoise={renoise},stop={stop},repeats={repeats},final_repeats={repeats}"
        yield Point(f"{kind}, stop {stop}", repeats, f"repaint,preset=paper,{options}")
