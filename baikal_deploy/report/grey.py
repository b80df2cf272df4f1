"""Planes as pictures."""

from __future__ import annotations

import io
from base64 import b64encode

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baikal_deploy.pixels.arrays import Raw

RANGE = (0.5, 99.8)
"""Percentiles of a plane that are shown black and white."""
QUALITY = 85
"""Quality of WebP pictures, 0 to 100. Its errors are far below the noise."""
LESS, NOTHING, MORE = np.array([[33, 102, 172], [255, 255, 255], [178, 24, 43]], dtype=np.float64)
"""Colours of a difference."""

Contrast = tuple[float, float]
"""Intensities that are shown black and white."""
Picture = NDArray[np.uint8]


def contrast(*planes: Raw) -> Contrast:
    """The contrast of the first plane that has one."""
    low = 0.0
    for plane in planes:
        finite = plane[np.isfinite(plane)]
        low, high = map(float, np.percentile(finite, RANGE)) if finite.size else (0.0, 0.0)
        if low < high:
            return low, high
    return low, low + 1


def grey(plane: Raw, contrast: Contrast) -> Picture:
    """A plane as grey values; NaN is black."""
    low, high = contrast
    finite = np.nan_to_num(plane.astype(np.float64), nan=low, posinf=high, neginf=low)
    scaled = (finite - low) / (high - low)
    pixels: Picture = (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    return pixels


def diverging(plane: Raw, limit: float) -> Picture:
    """A difference (H, W) as colours (H, W, 3): blue at −limit, white at 0, red at limit."""
    share = np.clip(np.nan_to_num(plane.astype(np.float64)) / limit, -1, 1)[..., None]
    colours = NOTHING + np.where(share < 0, -share * (LESS - NOTHING), share * (MORE - NOTHING))
    pixels: Picture = colours.round().astype(np.uint8)
    return pixels


def address(pixels: Picture) -> str:
    """Grey values or colours as the address of a picture that holds them."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"


def brightest(plane: Raw, side: int) -> tuple[int, int]:
    """Upper left corner (y, x) of the brightest square of a side, as there is something in it.

    Where the plane is smaller, the square is as large as the plane.
    """
    height, width = plane.shape
    finite = np.nan_to_num(plane.astype(np.float64), posinf=0, neginf=0)
    sums = np.pad(finite, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    h, w = min(height, side), min(width, side)
    boxes = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    y, x = np.unravel_index(boxes.argmax(), boxes.shape)
    return int(y), int(x)
