"""BM3D (Dabov et al., IEEE Trans. Image Processing 16, 2007), by the package of its authors."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from baikal_deploy.measurement.sample import noise_std
from baikal_evaluation.methods.base import Method, Prediction, Stack


class BM3D(Method):
    """BM3D plane by plane, with one level of white noise for the image, measured like the runtime does."""

    @property
    def identity(self) -> dict[str, Any]:
        return {"bm3d": version("bm3d")}

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        from bm3d import bm3d  # slow to import

        sigma = noise_std(list(noisy))
        return Prediction(np.stack([bm3d(plane, sigma) for plane in noisy]).astype(np.float32))
