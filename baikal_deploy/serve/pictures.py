"""Frames as a browser shows them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from baikal_deploy.pixels.arrays import Raw

DENOISED = (0.5, 99.8)
RAW = (5, 95)
"""Percentiles of either frame that lie between black and white: where there is nothing but noise, too."""
LARGEST = 768
"""Longest side of a picture."""
QUALITY = 92


@dataclass(frozen=True)
class Pictures:
    """A frame before and after, in the same grey scale.

    Attributes:
        raw, denoised: JPEG in base64.
        black, white: pixel values that are shown so.
    """

    raw: str
    denoised: str
    black: float
    white: float


def picture(raw: Raw, denoised: Raw) -> Pictures:
    """Pictures of a frame (H, W) before and after.

    Of larger frames every second, third … pixel is shown: fast, and with the noise that a pixel has.
    """
    step = -(-max(denoised.shape) // LARGEST)
    raw, denoised = raw[::step, ::step], denoised[::step, ::step]
    ends = *_percentiles(raw, RAW), *_percentiles(denoised, DENOISED)
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return Pictures(_jpeg(raw, low, high), _jpeg(denoised, low, high), low, high)


def _percentiles(frame: Raw, which: tuple[float, float]) -> list[float]:
    """Percentiles of the pixels that are finite, if there are any."""
    finite = frame[np.isfinite(frame)]
    return [float(value) for value in np.percentile(finite, which)] if finite.size else []


def _jpeg(frame: Raw, low: float, high: float) -> str:
    with np.errstate(over="ignore"):  # of what is not finite
        grey = (np.nan_to_num(frame.astype(np.float64), nan=low) - low) / (high - low or 1.0)
    stream = io.BytesIO()
    picture = Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))
    picture.save(stream, format="JPEG", quality=QUALITY)
    return base64.b64encode(stream.getvalue()).decode()
