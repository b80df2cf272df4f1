"""The runtime's samplers as methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from baikal_deploy._version import __version__
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_evaluation.methods._model import Model
from baikal_evaluation.methods.base import Method, Prediction, Stack


class Sampled(Method):
    """A sampler of the runtime, with a model's recommended options but for those that are given."""

    def __init__(self, model: Model, sampler: str, options: Mapping[str, Any]) -> None:
        self._model, self._sampler, self._options = model, sampler, dict(options)
        denoiser = model.load()
        denoiser.check(make_sampler(sampler, options, denoiser.recommended(sampler)))

    @property
    def identity(self) -> dict[str, Any]:
        engine = self._model.load().predictor.engine
        return {
            "baikal-deploy": __version__,
            "model": self._model.load().model_sha256,
            "engine": [engine.name, engine.version(), engine.precision],
            "sampler": self._sampler,
            "options": self._options,
            "seed": self._model.seed,
        }

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        evaluated: list[int] = []
        planes = self._model.load().denoise(
            noisy,
            self._sampler,
            seed=self._model.seed,
            guide=guide,
            progress=evaluated.append,
            **self._options,
        )
        return Prediction(planes.astype(np.float32), round(sum(evaluated) / len(noisy)))
