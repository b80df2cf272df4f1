"""A fused sampler against the NumPy one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.diffusion.samplers.base import Predict
from baikal_deploy.engines import open_engine
from baikal_deploy.engines._onnxruntime.session import open_session
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.models.manifest import ModelManifest, read_manifest
from baikal_deploy.pixels.arrays import Planes
from baikal_export.fused.program import Program

_INTENSITY = IntensityMap(100.0, 1100.0)
_LEVELS = (0.05, 0.2, 0.5)
"""Places among the noise levels that a sampler can start at."""


@dataclass(frozen=True)
class Proof:
    """Two small planes, denoised by the graph and by the NumPy sampler with the same noise.

    Attributes:
        sampler: as asked for.
        program: what it was compiled to.
        model: .onnx file of the network, which the NumPy sampler evaluates on ONNX Runtime's CPU.
    """

    sampler: WalkSampler
    program: Program
    model: Path

    def largest_difference(self, path: Path) -> float:
        """Largest difference of the results at up to three noise levels, on the network's scale.

        Args:
            path: of the fused sampler.

        Raises:
            ModelError: ONNX Runtime cannot load it.
        """
        options, factor = EngineOptions(precision=self.manifest.precision), self.manifest.downsampling
        session = open_session("onnx-cpu", path, options, ["CPUExecutionProvider"])
        differences = []
        with open_engine("onnx-cpu", self.model, self.manifest, options) as engine:
            tiled = TiledPredictor(engine, tile=4 * factor, overlap=0, batch=len(self.y))
            for t_star in self._checked_levels():
                (result,) = session.run(None, self._inputs(t_star))
                difference = _INTENSITY.normalise(result) - self._expected(tiled.predict, t_star)
                differences.append(np.abs(difference).max())
        return float(np.max(differences))  # unlike max(), NaN if any is

    @cached_property
    def manifest(self) -> ModelManifest:
        return read_manifest(self.model)

    @cached_property
    def y(self) -> Planes:
        """Two planes whose sides are no multiples of the downsampling."""
        factor = self.manifest.downsampling
        return _normal(0, 2, 1, 2 * factor + 3, factor + 1)

    @cached_property
    def noise(self) -> NDArray[np.float32]:
        return _normal(1, len(self.program.draws), *self.y.shape)

    def _checked_levels(self) -> list[int]:
        levels = self.program.levels
        places = _LEVELS if self.program.follows_noise else _LEVELS[:1]
        return [int(levels[int(place * len(levels))]) for place in places]

    def _inputs(self, t_star: int) -> dict[str, NDArray[np.float32]]:
        level = self.manifest.schedule.build().noise_levels[t_star]
        inputs = {
            "image": _INTENSITY.denormalise(self.y, np.float32),
            "noise": self.noise,
            "intensity": np.array([_INTENSITY.low, _INTENSITY.high], dtype=np.float32),
        }
        if self.program.follows_noise:
            inputs["sigma"] = np.array(level / _INTENSITY.normalised_sigma(1), dtype=np.float32)
        return inputs

    def _expected(self, predict: Predict, t_star: int) -> Planes:
        schedule = self.manifest.schedule.build()
        sampler = self.sampler.resolved(float(t_star), len(schedule), self.manifest.variance)
        planes = dict(zip(self.program.draws, self.noise, strict=True))
        return sampler.sample(
            predict, self.y, sampler.respace(schedule), lambda visit, draw: planes[visit, draw]
        )


def _normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
