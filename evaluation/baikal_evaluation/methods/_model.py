"""Model that methods denoise or measure with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from baikal_deploy import Denoiser
from baikal_deploy.engines import AUTO
from baikal_deploy.models.manifest import DEFAULT_MODEL


@dataclass(frozen=True)
class Model:
    """Network that samplers walk with, and that tells structure from noise.

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
        """Load the model, once for all methods of a process.

        Raises:
            ConfigError: an engine that is not known, or a setting that does not fit the model.
            ModelError: the model is not there, or cannot be read.
            EngineError: the engine cannot be had here.
        """
        return _loaded(self.name, self.engine, self.threads)


@lru_cache(maxsize=1)
def _loaded(name: str, engine: str, threads: int | None) -> Denoiser:
    return Denoiser.load(name, engine, precision="fp32", threads=threads)  # the same on every CPU
