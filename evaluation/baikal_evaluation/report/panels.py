"""Panels of a page: the images that it shows, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.report.grey import Contrast, address, brightest, contrast, grey
from baikal_evaluation.results import Metric, Results

SIDE = 512
"""Side of a panel, in pixels, at most: it is a part of the plane, as a reduced plane would look less noisy
than it is."""
PICTURES = 144
"""Pictures of a page, at most: about 30 MB if all of them are nothing but noise."""

Plane = NDArray[np.float32]
"""A plane (H, W) in raw units."""


@dataclass(frozen=True)
class Panel:
    """One plane of an image, noisy, clean, and denoised by each method; all of the same shape.

    Attributes:
        image: its name in the results.
        clean: None where there is no clean side.
        predictions: by method.
    """

    image: str
    noisy: Plane
    clean: Plane | None
    predictions: Mapping[str, Plane]

    @property
    def corner(self) -> tuple[int, int]:
        """Corner (y, x) of the part that is shown, the brightest of its size: there is something in it."""
        return brightest(self._guide, SIDE)

    def cropped(self) -> Panel:
        """Panel of the part that is shown alone; it is all that need be kept in memory."""
        y, x = self.corner
        part = np.s_[y : y + SIDE, x : x + SIDE]
        clean = None if self.clean is None else self.clean[part].copy()
        predictions = {method: plane[part].copy() for method, plane in self.predictions.items()}
        return Panel(self.image, self.noisy[part].copy(), clean, predictions)

    @property
    def contrast(self) -> Contrast:
        """Intensities that are shown black and white in all pictures of the panel.

        They are those of the clean side, unless there is none or nothing on it.
        """
        return contrast(self._guide, self.noisy)

    @property
    def _guide(self) -> Plane:
        return self.noisy if self.clean is None else self.clean


def picture(plane: Plane, contrast: Contrast) -> str:
    """Address of an image that holds a plane.

    Args:
        plane: the pixels.
        contrast: intensities that become black and white.
    """
    return address(grey(plane, contrast))


def choose(results: Results, images: Sequence[str]) -> list[str]:
    """Images that a page has room for.

    If it has not room for all, they are the worst, the best, and those evenly between, by ``merit``.

    Args:
        results: of these images.
        images: their names.

    Returns:
        The names of those chosen, in their order.
    """
    count = max(3, PICTURES // (len(results.methods) + 2))
    if len(images) <= count:
        return list(images)
    _, merits = merit(results)
    order = sorted(images, key=lambda image: merits.get(image, -math.inf))
    chosen = {order[round(place)] for place in np.linspace(0, len(order) - 1, count)}
    return [image for image in images if image in chosen]


def merit(results: Results) -> tuple[str, dict[str, float]]:
    """Order of the images, in words and as numbers: the second method minus the first.

    Where there is no clean side nothing orders them, and the numbers are missing.

    Args:
        results: of these images.

    Returns:
        The words, and a number for each image by name.
    """
    metric = next((metric for metric in results.metrics if metric.best is not None), None)
    if metric is None:
        return "in the order of the images", {}
    first, *others = results.methods[:2]
    base = _values(metric, results, first)
    if not others:
        return f"by {metric.label} of {first}", base
    values = _values(metric, results, others[0])
    differences = {image: value - base[image] for image, value in values.items() if image in base}
    return f"by {metric.label} of {others[0]} minus {first}", differences


def _values(metric: Metric, results: Results, method: str) -> dict[str, float]:
    values = {image: metric.of(row) for image, row in results.done(method).items()}
    return {image: value for image, value in values.items() if value is not None and math.isfinite(value)}
