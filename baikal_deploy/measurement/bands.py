"""Noise by bands of frequencies: whether it is uneven, or broad, and as strong everywhere.

The noise of the dark parts: what is left of planes less their background, or what a denoiser removes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.spectrum import REACH, autocovariance, power_of, tapered
from baikal_deploy.pixels.arrays import Values

Masks = Sequence[NDArray[np.bool_]]

GRID = (64, 64)
"""Grid of frequencies, as ``np.fft.fft2`` orders them."""
HIGH = 0.33
"""Frequency, in cycles per pixel, above which there is next to no structure."""
ERRORS = 3.0
"""Standard errors by which the power of bands must differ as well."""
PATCH = 16
"""Side of the squares that are compared, in pixels; at least half of each is dark."""
FEWEST_PATCHES = 32
"""Squares that tell how patchy power is, at least: of 20, one in five places of actin looks even."""


def radius() -> Values:
    """Frequencies of GRID, in cycles per pixel."""
    rows, columns = (np.fft.fftfreq(side) for side in GRID)
    found: Values = np.hypot(rows[:, None], columns)
    return found


def ring(frequency: float) -> NDArray[np.bool_]:
    """The frequencies just above one, in cycles per pixel, on GRID."""
    found: NDArray[np.bool_] = (radius() >= frequency) & (radius() < frequency + 0.04)
    return found


def high_bands() -> list[NDArray[np.bool_]]:
    """High frequencies along x, along y, and along both, on GRID."""
    y, x = (np.abs(np.fft.fftfreq(side)) for side in GRID)
    y, x = np.broadcast_arrays(y[:, None], x)
    return [(x > HIGH) & (y < 0.25), (y > HIGH) & (x < 0.25), (x > HIGH) & (y > HIGH)]


def is_uneven(planes: Sequence[Values], masks: Masks, ratio: float) -> bool:
    """Whether noise is stronger in one of the bands of highest frequencies than in another.

    Args:
        planes, masks: (H, W) each.
        ratio: of the two, from which on it is.
    """
    power, pixels = _power(planes, masks)
    means = [float(power[band].mean()) for band in high_bands()]
    pixels *= min(float(band.mean()) for band in high_bands())
    error = math.sqrt(2 * 2 / max(pixels, 1))  # of a ratio of two variances
    return min(means) > 0 and max(means) / min(means) > ratio + ERRORS * error if pixels else False


def broadness(planes: Sequence[Values], masks: Masks) -> float:
    """Power at 0.15 cycles per pixel over that of the weakest of the highest bands; 1 for white noise.

    Args:
        planes, masks: (H, W) each.
    """
    power, _ = _power(planes, masks)
    weakest = min(float(power[band].mean()) for band in high_bands())
    middle = float(power[(radius() > 0.12) & (radius() < 0.18)].mean())
    return middle / max(weakest, 1e-9)


def _power(planes: Sequence[Values], masks: Masks) -> tuple[Values, float]:
    """Power on GRID, and the number of pixels that it is told by."""
    covariance, count = autocovariance(planes, masks)
    return power_of(tapered(covariance), GRID), float(count[REACH, REACH])


def patchiness(planes: Sequence[Values], masks: Masks) -> float:
    """Spread of the power around 0.15 cycles per pixel from place to place, over its mean.

    It is 0.2 to 0.3 for noise, which is as strong everywhere, and more for fibres, which are not.

    Args:
        planes, masks: (H, W) each.

    Returns:
        Standard deviation over mean of the power in squares; infinity where too few of them tell.
    """
    power = np.concatenate([_patches(plane, mask) for plane, mask in zip(planes, masks, strict=True)])
    return float(power.std() / power.mean()) if len(power) >= FEWEST_PATCHES else math.inf


def _patches(plane: Values, mask: NDArray[np.bool_]) -> Values:
    """Power around 0.15 cycles per pixel in each square of which at least half is masked."""
    masked = np.where(mask, plane, 0)
    band = gaussian_filter(masked, 1) - gaussian_filter(masked, 2)
    counts, sums = (_squares(values) for values in (mask, mask * band**2))
    told = counts >= PATCH**2 / 2
    found: Values = sums[told] / counts[told]
    return found


def _squares(plane: Values | NDArray[np.bool_]) -> Values:
    """Sums over whole squares."""
    rows, columns = (side // PATCH for side in plane.shape)
    cut = plane[: rows * PATCH, : columns * PATCH].astype(np.float64)
    sums: Values = cut.reshape(rows, PATCH, columns, PATCH).sum(axis=(1, 3))
    return sums
