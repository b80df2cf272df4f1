"""The best that a Gaussian blur can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from scipy.ndimage import gaussian_filter

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Method, Prediction, Stack

SIGMAS = np.arange(0.5, 6.1, 0.25)
"""Sigmas that are tried, in pixels."""


class Gaussian(Method):
    """A blur within planes, with the sigma of SIGMAS that brings the image nearest to the truth."""

    ORACLE = True

    @property
    def identity(self) -> dict[str, Any]:
        return {"scipy": scipy.__version__, "sigmas": SIGMAS.tolist()}

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        if clean is None:
            raise EvaluationError(
                "gaussian: chooses its sigma by the clean image, and there is none; leave it out"
            )
        blurred = (gaussian_filter(noisy, (0, sigma, sigma)) for sigma in SIGMAS)
        return Prediction(
            min(blurred, key=lambda planes: float(np.square(planes - clean, dtype=np.float64).mean()))
        )
