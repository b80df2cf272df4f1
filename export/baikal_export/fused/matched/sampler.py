"""Matched, fused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import onnx

from baikal_deploy.diffusion.samplers.matched import STEPS, Matched
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.base import FusedSampler
from baikal_export.fused.matched.graph import build
from baikal_export.fused.matched.live import build_live
from baikal_export.fused.matched.measuring import PASSES, SEARCH
from baikal_export.fused.matched.proof import largest_difference, largest_difference_live

Form = Literal["told", "alone", "live"]
MOST_EVALUATIONS = 16
"""Most evaluations, steps times symmetries: the graph holds the network's nodes as often."""


@dataclass(frozen=True)
class FusedMatched(FusedSampler):
    """Matched with its noise equaliser, for a model.

    Attributes:
        sampler: its options.
        form: "told": the graph measures what it is not told; "alone": it has the image as its only input, and
            measures the rest; "live": it averages the frames of a stream.
    """

    sampler: Matched
    form: Form = "told"

    @classmethod
    def of(cls, name: str, sampler: Matched, manifest: ModelManifest, form: Form = "told") -> Self:
        """The sampler for a model.

        Args:
            name: of the sampler.
            sampler: its options.
            manifest: of the model.
            form: see above.

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
        return cls(name, sampler, form)

    def path(self, model: Path) -> Path:
        """Path of the file: model.onnx -> model-NAME.onnx, or model-NAME-live.onnx, beside it."""
        plain = super().path(model)
        return plain.with_name(f"{plain.stem}-live.onnx") if self.form == "live" else plain

    def build(self, network: onnx.ModelProto, manifest: ModelManifest) -> onnx.ModelProto:
        if self.form == "live":
            return build_live(network, manifest, self.sampler)
        return build(network, manifest, self.sampler, measures=self.form == "alone")

    def largest_difference(self, model: Path, path: Path) -> float:
        if self.form == "live":
            return largest_difference_live(self.sampler, model, path)
        return largest_difference(self.sampler, model, path)

    def description(self) -> dict[str, Any]:
        steps, symmetries = self.sampler.evaluations, self.sampler.symmetries
        least = (steps or 1) * symmetries + (PASSES if self.form == "alone" else 0)
        most = (steps or STEPS) * symmetries + (0 if self.form == "live" else PASSES + SEARCH)
        return {"options": asdict(self.sampler), "form": self.form, "nfe": {"least": least, "most": most}}
