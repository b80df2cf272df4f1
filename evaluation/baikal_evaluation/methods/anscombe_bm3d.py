"""BM3D in the domain of the generalised Anscombe transform, for noise that depends on the signal.

Transform and exact unbiased inverse: Mäkitalo and Foi, IEEE Trans. Image Processing 22, 2013 (closed form).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.noise_model import NoiseModel, fit_noise
from baikal_deploy.measurement.sample import noise_std
from baikal_deploy.pixels.arrays import Values
from baikal_evaluation.methods._bm3d import bm3d_version, load_bm3d
from baikal_evaluation.methods.base import Method, Prediction, Stack

FIRST_ESTIMATE = 2.0
"""Sigma of the blur, in pixels, in whose bins the noise is fitted."""


class AnscombeBM3D(Method):
    """BM3D plane by plane, with the gain and read noise of the image, fitted like the runtime does."""

    @property
    def identity(self) -> dict[str, Any]:
        return {"bm3d": bm3d_version(), "first_estimate": FIRST_ESTIMATE, "inverse": 2}

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        bm3d = load_bm3d()
        planes = list(noisy.astype(np.float64))
        noise = fit_noise(planes, [gaussian_filter(plane, FIRST_ESTIMATE) for plane in planes])
        if noise.gain == 0:
            sigma = noise_std(planes)
            return Prediction(np.stack([bm3d(plane, sigma) for plane in planes]).astype(np.float32))
        results = [inverse(bm3d(transformed(plane, noise), 1.0), noise) for plane in planes]
        return Prediction(np.stack(results).astype(np.float32))


def transformed(plane: Values, noise: NoiseModel) -> Values:
    """Values whose noise has a standard deviation of about 1 everywhere.

    Args:
        plane: intensities (H, W) in raw units.
        noise: of the image; its gain is above 0.
    """
    variance = noise.gain * plane + noise.intercept + 3 / 8 * noise.gain**2
    result: Values = 2 / noise.gain * np.sqrt(np.maximum(variance, 0))
    return result


def inverse(values: Values, noise: NoiseModel) -> Values:
    """Mean intensity of which a value is the expected transform; below the transform's range, the least.

    Args:
        values: denoised ones of ``transformed`` (H, W).
        noise: as it was there.
    """
    offset = noise.intercept / noise.gain**2  # variance that is not of photons, in photons
    d = np.maximum(values, 2 * np.sqrt(3 / 8 + max(offset, 0)))  # what no photon at all gives
    photons = d**2 / 4 + np.sqrt(1.5) / 4 / d - 11 / 8 / d**2 + 5 / 8 * np.sqrt(1.5) / d**3 - 1 / 8 - offset
    result: Values = noise.gain * photons
    return result
