"""BM3D (Dabov et al., IEEE Trans. Image Processing 16, 2007), by the package of its authors."""

from __future__ import annotations

from typing import Any

import numpy as np

from baikal_deploy.measurement.sample import noise_std
from baikal_evaluation.methods._bm3d import bm3d_version, load_bm3d
from baikal_evaluation.methods.base import Method, Prediction, Stack


class BM3D(Method):
    """BM3D plane by plane, with one level of white noise for the image, measured like the runtime does."""

    @property
    def identity(self) -> dict[str, Any]:
        return {"bm3d": bm3d_version()}

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        bm3d = load_bm3d()
        sigma = noise_std(list(noisy))
        return Prediction(np.stack([bm3d(plane, sigma) for plane in noisy]).astype(np.float32))
