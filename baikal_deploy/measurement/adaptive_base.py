"""The mean intensity around each pixel, from as near as the noise allows."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d
from scipy.signal import correlate2d

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import BASE_REACH, BASE_SIGMA, local_mean
from baikal_deploy.pixels.arrays import Plane, Values
from baikal_deploy.pixels.cells import CELL

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Blur along an axis, with the standard deviation of one pixel."""
OWN = float(BINOMIAL[2] ** 2)
"""Weight of the pixel itself in that of both axes."""
REACH = len(BINOMIAL) // 2
ADAPTIVE_REACH = BASE_REACH + REACH + 2 * CELL
"""Pixels that ``adaptive_base`` looks around."""
LEAST_POWER = np.float32(1e-12)


def adaptive_base(plane: Plane, noise_around: Plane, around: Plane) -> tuple[Plane, Plane]:
    """The mean intensity around each pixel, from near it where structure stands out of the noise.

    Where a plane blurred by one pixel differs from its ``base`` by more than noise does, the rest of the
    difference is structure, and as much of it is added (a local Wiener filter: Lee, IEEE Trans. PAMI 2,
    1980).

    Args:
        plane: (H, W).
        noise_around: variance of the difference of the two blurs that is noise, (H, W).
        around: the plane's ``base``.

    Returns:
        The mean, (H, W), float32, and the share of the pixel itself in it.
    """
    detail = correlate1d(correlate1d(plane, BINOMIAL, 0, mode="nearest"), BINOMIAL, 1, mode="nearest")
    detail -= around
    power = np.maximum(local_mean(detail * detail), LEAST_POWER)
    structure = np.maximum(1 - noise_around / power, 0)
    detail *= structure
    detail += around
    structure *= np.float32(OWN)
    return detail, structure


def share_of_noise(noise: NoiseModel) -> float:
    """Variance of noise in the difference of the two blurs, over that of its finest detail."""
    near = np.outer(BINOMIAL, BINOMIAL)
    kernel = np.ones((1, 1)) if noise.kernel is None else np.asarray(noise.kernel)
    lags = kernel.shape[0] // 2
    squared = np.square(np.mgrid[-lags : lags + 1, -lags : lags + 1]).sum(0)

    def with_base(variance: float) -> Values:
        """A Gaussian of that variance, after the base's own."""
        both = variance + BASE_SIGMA**2
        return np.exp(-squared / 2 / both) / (2 * np.pi * both)

    with_itself = np.pad(correlate2d(near, near), lags)[
        tuple(slice(2 * REACH, 2 * (lags + REACH) + 1) for _ in "yx")
    ]
    response = with_itself - 2 * with_base(1) + with_base(BASE_SIGMA**2)
    return float(noise.correlation**2 * (kernel * response).sum())
