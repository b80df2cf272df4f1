"""Matched, fused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import onnx

from baikal_deploy.diffusion.samplers.matched import STEPS, Matched
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.base import FusedSampler
from baikal_export.fused.matched.graph import build
from baikal_export.fused.matched.measuring import PASSES, SEARCH
from baikal_export.fused.matched.proof import largest_difference

MOST_EVALUATIONS = 16
"""Most evaluations, steps times symmetries: the graph holds the network's nodes as often."""


@dataclass(frozen=True)
class FusedMatched(FusedSampler):
    """Matched with its noise equaliser, for a model.

    Attributes:
        sampler: its options.
        measures: whether the graph has the image as its only input, and measures the rest.
    """

    sampler: Matched
    measures: bool = False

    @classmethod
    def of(cls, name: str, sampler: Matched, manifest: ModelManifest) -> Self:
        """The sampler for a model.

        Args:
            name: of the sampler.
            sampler: its options.
            manifest: of the model.

        Raises:
            ConfigError: options that do not fit the model, or one that does not know white noise.
        """
        if manifest.noise_correlation is not None:
            raise ConfigError(
                f"model {manifest.name}: knows correlated noise, and the graph of {name} is for networks "
                "that know white noise; run it with baikal-run"
            )
        sampler.resolved(1.0, manifest.schedule.num_timesteps, manifest.variance)
        asked = (sampler.evaluations or STEPS) * sampler.symmetries
        if asked > MOST_EVALUATIONS:
            raise ConfigError(
                f"--fused-sampler {name}: evaluations times symmetries make {asked}, more than "
                f"{MOST_EVALUATIONS}: the graph holds the network as often"
            )
        return cls(name, sampler)

    def build(self, network: onnx.ModelProto, manifest: ModelManifest) -> onnx.ModelProto:
        return build(network, manifest, self.sampler, measures=self.measures)

    def largest_difference(self, model: Path, path: Path) -> float:
        return largest_difference(self.sampler, model, path)

    def description(self) -> dict[str, Any]:
        steps, symmetries = self.sampler.evaluations, self.sampler.symmetries
        least = (steps or 1) * symmetries + (PASSES if self.measures else 0)
        most = (steps or STEPS) * symmetries + PASSES + SEARCH
        return {"options": asdict(self.sampler), "nfe": {"least": least, "most": most}}
