"""Random texture of a plane: white noise of one size."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

Plane = NDArray[np.float32]
FINE = 4.0
"""Sigma in pixels above which texture is made on larger pixels, for speed."""


def grain(rng: Generator, shape: tuple[int, int], sigma: float) -> Plane:
    """Normal noise (Y, X) of zero mean and unit variance, blurred by a Gaussian of `sigma` pixels."""
    step = max(1, int(sigma / FINE))
    coarse = tuple(-(-n // step) + 1 for n in shape)
    noise = gaussian_filter(rng.standard_normal(coarse, np.float32), sigma / step, mode="wrap")
    if sigma > step:  # by what the blur takes away; it leaves the mean of a small plane
        noise *= min(2 * np.sqrt(np.pi) * sigma / step, np.sqrt(noise.size))
    else:
        noise /= max(float(noise.std()), 1e-6)
    large = zoom(noise, step, order=1) if step > 1 else noise
    return np.asarray(large[: shape[0], : shape[1]], np.float32)
