"""Sample data: a stack of simulated nuclei as a camera sees them."""

from __future__ import annotations

from typing import Any

from baikal_training.camera import Camera
from baikal_training.simulate import PLANE_SPACING, simulate_nuclei

SHAPE = (8, 256, 256)
PIXEL = 0.325
"""Pixel size in micrometres."""


def noisy_nuclei() -> list[tuple[Any, dict[str, Any], str]]:
    """The stack that `make demo` denoises, simulated anew, as a layer of napari."""
    counts = Camera().expose(simulate_nuclei(SHAPE, 0), 0)
    about = {
        "name": "nuclei",
        "scale": (PLANE_SPACING * PIXEL, PIXEL, PIXEL),
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
        "colormap": "gray",
    }
    return [(counts, about, "image")]
