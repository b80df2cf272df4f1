"""A small convolutional engine whose receptive field is known."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.engines.base import Engine
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

SPEC = ScheduleSpec("linear", 1000)


class Convolutions(Engine):
    """Random 3×3 convolutions with zero padding and tanh in between: a pixel sees ``radius`` pixels.

    Attributes:
        shapes: of the batches that it was asked for.
    """

    def __init__(self, factor: int, radius: int, variance: bool = True) -> None:
        kind: Variance = "learned_range" if variance else "fixed_small"
        self.manifest = ModelManifest("convolutions", SPEC, kind, Normalisation(), factor)
        self.radius, self.shapes = radius, list[tuple[int, ...]]()
        self._kernels = np.random.default_rng(radius).normal(0, 0.5, (radius, 1, 1, 3, 3))

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        self.shapes.append(x_t.shape)
        x = (x_t + t / 1000).astype(np.float64)
        for kernel in self._kernels:
            x = np.tanh(ndimage.convolve(x, kernel, mode="constant"))
        eps = x.astype(np.float32)
        return eps, np.sin(3 * eps) if self.manifest.variance == "learned_range" else None
