"""A picture of one plane before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from baikal_deploy.errors import VolumeError
from baikal_deploy.intensity import Raw

RANGE = (0.5, 99.8)
"""Percentiles of the denoised plane that are shown black and white, on both sides."""
MARGIN = 24
LARGEST = 1024
"""Longest side of a panel, in pixels; larger planes are shown reduced."""


def save_preview(path: Path, before: Raw, after: Raw) -> None:
    """Write a PNG with two planes (H, W) side by side, in the same grey scale.

    Raises:
        VolumeError: the file cannot be written.
    """
    finite = after[np.isfinite(after)]
    low, high = np.percentile(finite, RANGE) if finite.size else (0.0, 1.0)
    panels = [_panel(plane, low, high) for plane in (before, after)]
    width, height = panels[0].size
    picture = Image.new("L", (2 * width + MARGIN, height + MARGIN), 255)
    draw = ImageDraw.Draw(picture)
    for i, (panel, title) in enumerate(zip(panels, ("before", "after"), strict=True)):
        left = i * (width + MARGIN)
        picture.paste(panel, (left, MARGIN))
        draw.text((left + 4, 4), title, fill=0, font_size=14)
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise VolumeError(f"{path}: the preview cannot be written ({error.strerror})") from error


def _panel(plane: Raw, low: float, high: float) -> Image.Image:
    span = max(high - low, np.finfo(np.float64).tiny)
    grey = np.clip((np.nan_to_num(plane.astype(np.float64), nan=low) - low) / span, 0, 1)
    panel = Image.fromarray((grey * 255).astype(np.uint8))
    panel.thumbnail((LARGEST, LARGEST))
    return panel
