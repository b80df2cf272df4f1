"""The exact ε of Gaussian data: an oracle for tests, and a fast stand-in for a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.models.manifest import ModelManifest, Precision
from baikal_deploy.pixels.arrays import Planes


class Analytic(Engine):
    """The optimal noise prediction if every pixel were independent N(mean, std²).

    With x_t = √ᾱ·x_0 + √(1−ᾱ)·ε, all Gaussian,
    E[ε | x_t] = √(1−ᾱ)·(x_t − √ᾱ·mean) / (ᾱ·std² + 1 − ᾱ).

    Arguments:
        mean, std: of the data, on the network's scale.
    """

    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {
        "fp32": ("fp32",), "bf16": ("fp32",), "fp16": ("fp32",), "int8": ("fp32",)
    }  # fmt: skip

    def __init__(self, manifest: ModelManifest, mean: float = -0.5, std: float = 0.5) -> None:
        self.manifest, self.mean, self.std = manifest, mean, std
        self._alphas_cumprod = manifest.schedule.build().alphas_cumprod

    @classmethod
    def open(cls, path: Path, manifest: ModelManifest, options: EngineOptions) -> Self:
        return cls(manifest)

    def _predict(self, x_t: Planes, t: float) -> tuple[Planes, None]:
        level = np.interp(t, np.arange(len(self._alphas_cumprod)), self._alphas_cumprod)
        gain = np.sqrt(1 - level) / (level * self.std**2 + 1 - level)
        return float(gain) * (x_t - float(np.sqrt(level) * self.mean)), None
