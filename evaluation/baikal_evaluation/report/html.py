"""Results as one page that holds everything it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from baikal_deploy.report.templates import environment
from baikal_evaluation.report import text
from baikal_evaluation.report.files import write_text
from baikal_evaluation.report.panels import Panel, choose, merit, picture
from baikal_evaluation.report.plots import mark, plots
from baikal_evaluation.results import Results, Row

NOISY, CLEAN = "noisy", "clean"
FIGURES = ("psnr", "ssim", "noise_after")
"""Metrics that stand below a picture."""


@dataclass(frozen=True)
class Picture:
    """Picture in a panel of the page.

    Attributes:
        key: by which the page finds it in every panel.
        title: of the method.
        figures: its metrics, in words.
        address: that holds the pixels.
    """

    key: str
    title: str
    figures: str
    address: str


@dataclass(frozen=True)
class View:
    """Panel as the page shows it."""

    image: str
    part: str
    width: int
    pictures: list[Picture]
    clean: Picture | None


def write_html(path: Path, results: Results, panels: Sequence[Panel]) -> None:
    """Write a page that needs no other file and no network.

    Args:
        path: the file.
        results: to show.
        panels: of the images that are to be shown; of more than there is room for, ``choose`` picks some.

    Raises:
        EvaluationError: the file cannot be written.
    """
    chosen = choose(results, [panel.image for panel in panels])
    views = [_view(panel, results) for panel in panels if panel.image in chosen]
    choices = _choices(views)
    page = (
        environment(__package__)
        .get_template("page.html")
        .render(
            results=results,
            summary=results.summary(),
            differences={reference: results.differences(reference) for reference in results.references},
            best={metric.name: results.best(metric) for metric in results.metrics},
            marks={method: mark(place) for place, method in enumerate(results.methods)},
            plots=plots(results),
            views=views,
            choices=choices,
            chosen={"left": NOISY, "right": _first_right(results, choices)},
            left_out=_left_out(results, views),
            text=text,
        )
    )
    write_text(path, page)


def _view(panel: Panel, results: Results) -> View:
    part, contrast = panel.cropped(), panel.contrast
    rows = {row.method: row for row in results.rows if row.image == panel.image}
    # A method that changes nothing is the noisy side itself.
    same = [method for method, plane in panel.predictions.items() if np.array_equal(plane, panel.noisy)]
    noisy = rows[same[0]] if same else None
    pictures = [Picture(NOISY, NOISY, _figures(noisy, results), picture(part.noisy, contrast))]
    for place, method in enumerate(results.methods):
        if method in part.predictions and method not in same:
            figures = _figures(rows.get(method), results)
            address = picture(part.predictions[method], contrast)
            pictures.append(Picture(f"method-{place}", method, figures, address))
    clean = None if part.clean is None else Picture(CLEAN, CLEAN, "", picture(part.clean, contrast))
    return View(panel.image, _part(panel), part.noisy.shape[1], pictures, clean)


def _part(panel: Panel) -> str:
    """Size and place of the part of the plane that is shown, in words."""
    (height, width), (h, w), (y, x) = panel.noisy.shape, panel.cropped().noisy.shape, panel.corner
    whole = f"{height} × {width} pixels"
    return whole if (h, w) == (height, width) else f"{h} × {w} pixels at ({y}, {x}) of {whole}"


def _figures(row: Row | None, results: Results) -> str:
    if row is None:
        return ""
    metrics = [metric for metric in results.metrics if metric.name in FIGURES and metric.of(row) is not None]
    return ", ".join(
        f"{metric.title} {text.number_text(metric.of(row), metric.form)} {metric.unit}".rstrip()
        for metric in metrics
    )


def _choices(views: list[View]) -> dict[str, str]:
    """Titles of all pictures, by key; the clean side last."""
    pictures = [picture for view in views for picture in view.pictures]
    pictures.sort(key=lambda picture: picture.key != NOISY and int(picture.key.removeprefix("method-")) + 1)
    pictures += [view.clean for view in views if view.clean]
    return {picture.key: picture.title for picture in pictures}


def _first_right(results: Results, choices: dict[str, str]) -> str:
    """Key of the picture that is on the right at first.

    It is that of the best method, if it can be told; not of an oracle, if any other will do.
    """
    best = results.best(results.metrics[0]) if results.metrics else None
    keys = [key for key in choices if key != NOISY]
    keys.sort(key=lambda key: (choices[key] != best, key == CLEAN, choices[key] in results.oracles))
    return keys[0] if keys else NOISY


def _left_out(results: Results, views: list[View]) -> str:
    """Number of images that are shown, and why these, in words; nothing if all are."""
    count, shown = len(results.images), [view.image for view in views]
    if not shown or len(shown) == count:
        return ""
    order, _ = merit(results)
    chosen = sorted(shown) == sorted(choose(results, results.images))
    why = f": the worst, the best and some evenly between, {order}" if chosen else ""
    return f"Shown: {len(shown)} of {count} images{why}."
