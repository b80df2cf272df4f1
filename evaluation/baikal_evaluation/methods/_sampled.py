"""The runtime's samplers as methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from baikal_deploy import Denoiser
from baikal_deploy._version import __version__
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.engines import AUTO
from baikal_deploy.models.manifest import DEFAULT_MODEL
from baikal_evaluation.methods.base import Method, Prediction, Stack


@dataclass(frozen=True)
class Model:
    """Network that samplers walk with.

    Attributes:
        name: of a shipped model, or path of an .onnx file.
        engine: see ``Denoiser.load``.
        threads: of an evaluation; None: all cores.
        seed: of the samplers' noise.
    """

    name: str = DEFAULT_MODEL
    engine: str = AUTO
    threads: int | None = None
    seed: int = 0

    def load(self) -> Denoiser:
        """Load the model, once for all samplers of a process.

        Raises:
            ConfigError: an engine that is not known, or a setting that does not fit the model.
            ModelError: the model is not there, or cannot be read.
            EngineError: the engine cannot be had here.
        """
        return _loaded(self.name, self.engine, self.threads)


@lru_cache(maxsize=1)
def _loaded(name: str, engine: str, threads: int | None) -> Denoiser:
    return Denoiser.load(name, engine, threads=threads)


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
