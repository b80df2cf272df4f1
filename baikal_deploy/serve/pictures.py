"""Frames as a browser shows them."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from baikal_deploy.intensity import Raw

RANGE = (0.5, 99.8)
"""Percentiles of the denoised frame that are shown black and white."""
LARGEST = 768
"""Longest side of a picture."""
QUALITY = 92


def as_jpegs(raw: Raw, denoised: Raw) -> tuple[str, ...]:
    """Two frames (H, W) as JPEG in base64, in the same grey scale.

    Of larger frames every second, third … pixel is shown: fast, and with the noise that a pixel has.
    """
    step = -(-max(denoised.shape) // LARGEST)
    raw, denoised = raw[::step, ::step], denoised[::step, ::step]
    finite = denoised[np.isfinite(denoised)]
    low, high = np.percentile(finite, RANGE) if finite.size else (0.0, 1.0)
    return tuple(_jpeg(frame, low, high) for frame in (raw, denoised))


def _jpeg(frame: Raw, low: float, high: float) -> str:
    with np.errstate(over="ignore"):  # of what is not finite
        grey = (np.nan_to_num(frame.astype(np.float64), nan=low) - low) / (high - low or 1.0)
    stream = io.BytesIO()
    picture = Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))
    picture.save(stream, format="JPEG", quality=QUALITY)
    return base64.b64encode(stream.getvalue()).decode()
