"""The mean intensity around each pixel, from as near as the noise allows."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import BASE_REACH, BASE_SIGMA, local_mean
from baikal_deploy.pixels.arrays import Plane, Values
from baikal_deploy.pixels.cells import CELL

NEAR = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Blur with the standard deviation of one pixel."""
ADAPTIVE_REACH = BASE_REACH + len(NEAR) // 2 + 2 * CELL
"""Pixels that ``adaptive_base`` looks around."""
LEAST_POWER = np.float32(1e-12)


def adaptive_base(plane: Plane, noise_around: Plane, around: Plane) -> Plane:
    """The mean intensity around each pixel, from near it where structure stands out of the noise.

    Where a plane blurred by one pixel differs from its ``base`` by more than noise does, the rest of the
    difference is structure, and as much of it is added (a local Wiener filter: Lee, IEEE Trans. PAMI 2,
    1980).

    Args:
        plane: (H, W).
        noise_around: variance of the difference of the two blurs that is noise, (H, W).
        around: the plane's ``base``.

    Returns:
        (H, W), float32.
    """
    detail = correlate1d(correlate1d(plane, NEAR, 0, mode="nearest"), NEAR, 1, mode="nearest")
    detail -= around
    power = np.maximum(local_mean(detail * detail), LEAST_POWER)
    detail *= np.maximum(1 - noise_around / power, 0)
    detail += around
    return detail


def share_of_noise(noise: NoiseModel) -> float:
    """Variance of noise in the difference of the two blurs, over that of its finest detail."""
    kernel = np.ones((1, 1)) if noise.kernel is None else np.asarray(noise.kernel)
    y, x = (np.arange(side) - side // 2 for side in kernel.shape)
    squared = (y**2)[:, None] + x**2

    def both(variance: float) -> Values:
        """Two Gaussians, one after the other, that have the sum of their variances."""
        return np.exp(-squared / 2 / variance) / (2 * np.pi * variance)

    wide = BASE_SIGMA**2
    response = both(1 + 1) - 2 * both(1 + wide) + both(2 * wide)
    return float(noise.correlation**2 * (kernel * response).sum())
