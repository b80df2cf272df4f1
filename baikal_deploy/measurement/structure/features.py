"""Features of a denoised window that tell kinds of structure apart, whatever its intensities.

At each of several scales: how curved the image is and in which way (the shape index: caps, ridges, saddles,
ruts and cups; Koenderink & van Doorn 1992), how straight (the coherence of the structure tensor), how much
contrast the scale has, how it is distributed, and what of the light an opening leaves. Beside these, the
distribution of the intensities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from baikal_deploy.pixels.arrays import Plane

Image = NDArray[np.float32]
Vector = NDArray[np.float64]

SCALES = 5
"""Scales, each of half as many pixels a side as the one before."""
SIDE = 256
"""Side of a window, in pixels."""
LEAST_SIDE = 8 * 2 ** (SCALES - 1)
"""Side of a window below which the coarsest scale says nothing."""
PERCENTILES = (1, 10, 25, 50, 75, 90, 97, 99.8)
SHAPES = 5
"""Bins of the shape index, from caps (bright spots) over ridges and saddles to ruts and cups."""
OPENED = 5
"""Side of the squares that an opening fits into what is bright, in pixels of the scale."""
SPAN = 1e-6
"""Range of intensities below which a window is constant."""


def features(window: Plane) -> Vector | None:
    """The features of a window (H, W); None if it is constant, or smaller than LEAST_SIDE."""
    if min(window.shape) < LEAST_SIDE:
        return None
    marks = np.percentile(window[::2, ::2], PERCENTILES)
    low, high = marks[0], marks[-1]
    if not high - low > SPAN:
        return None
    image: Image = np.clip((window - low) / (high - low), -0.25, 1.5).astype(np.float32)
    found = [*((marks[1:-1] - low) / (high - low)), *_moments(image)]
    for scale in range(SCALES):
        coarser = _halved(image)
        # The finest scale is the dearest, and its middle tells enough.
        found += _of_scale(*_middle(image, coarser), finest=True) if scale == 0 else _of_scale(image, coarser)
        image = coarser
    return np.array(found, np.float64)


def _of_scale(image: Image, coarser: Image, finest: bool = False) -> list[float]:
    """Features of one scale; an opening in the finest one would see the noise that is left."""
    band = image[: coarser.shape[0] * 2, : coarser.shape[1] * 2] - _doubled(coarser)
    contrast = float(band.std())
    light = float((image - image.min()).mean())
    opened = [] if finest else [float((_opened(image) - image.min()).mean()) / max(light, 1e-9)]
    smooth = uniform_filter(image, 3)
    gy, gx = np.gradient(smooth)
    return [
        np.log10(contrast + 1e-4),
        *_moments(band),
        _coherence(gy, gx),
        *_shapes(gy, gx),
        *opened,
    ]


def _moments(values: Image) -> list[float]:
    """Skewness and kurtosis, such that outliers count for little."""
    centred = values - values.mean()
    std = float(centred.std()) + 1e-6
    scaled = centred / std
    squared = scaled * scaled
    skewness, kurtosis = float((squared * scaled).mean()), float((squared * squared).mean())
    return [float(np.arcsinh(skewness)), float(np.log(kurtosis + 1e-3))]


def _coherence(gy: Image, gx: Image) -> float:
    """Coherence of the structure tensor, weighted by its trace: 1 where all is straight."""
    yy, xx, yx = (uniform_filter(product, 7) for product in (gy * gy, gx * gx, gy * gx))
    difference = np.sqrt((yy - xx) ** 2 + 4 * yx * yx)
    return float(difference.sum() / (float((yy + xx).sum()) + 1e-12))


def _shapes(gy: Image, gx: Image) -> list[float]:
    """Shares of the curvature by shape index."""
    yy, yx = np.gradient(gy)
    xx = np.gradient(gx, axis=1)
    mean, spread = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + yx * yx)
    index = np.arctan2(mean, spread) * np.float32(2 / np.pi)  # −1 caps … 1 cups
    weight = mean * mean + spread * spread
    place = np.clip(((index + 1) / 2 * SHAPES).astype(np.intp), 0, SHAPES - 1)
    sums = np.bincount(place.ravel(), weight.ravel(), SHAPES)
    return list(sums / (sums.sum() + 1e-12))


def _opened(image: Image) -> Image:
    opened: Image = maximum_filter(minimum_filter(image, OPENED), OPENED)
    return opened


def _middle(image: Image, coarser: Image) -> tuple[Image, Image]:
    """A square of LEAST_SIDE pixels out of the middle, and the same of the coarser scale."""
    half = LEAST_SIDE // 2
    top, left = ((side - half) // 2 for side in coarser.shape)
    fine = image[2 * top : 2 * top + LEAST_SIDE, 2 * left : 2 * left + LEAST_SIDE]
    return fine, coarser[top : top + half, left : left + half]


def _halved(image: Image) -> Image:
    height, width = (side - side % 2 for side in image.shape)
    cut = image[:height, :width]
    halved: Image = (cut[::2, ::2] + cut[1::2, ::2] + cut[::2, 1::2] + cut[1::2, 1::2]) * np.float32(0.25)
    return halved


def _doubled(image: Image) -> Image:
    return np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)
