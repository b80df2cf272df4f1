"""Samplers that walk at one noise level, fused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import onnx

from baikal_deploy.denoising.checks import check_noise
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.base import FusedSampler
from baikal_export.fused.graph import build
from baikal_export.fused.program import Program, compile_program
from baikal_export.fused.proof import Proof


@dataclass(frozen=True)
class FusedWalk(FusedSampler):
    """A sampler that walks at one noise level, compiled for a model.

    Attributes:
        sampler: its options.
        program: its walks.
    """

    sampler: WalkSampler
    program: Program

    @classmethod
    def of(cls, name: str, sampler: WalkSampler, manifest: ModelManifest) -> Self:
        """A sampler compiled for a model.

        Args:
            name: of the sampler.
            sampler: its options.
            manifest: of the model.

        Raises:
            ConfigError: options that do not fit the model.
        """
        check_noise(sampler, manifest)
        return cls(name, sampler, compile_program(sampler, manifest))

    def build(self, network: onnx.ModelProto, manifest: ModelManifest) -> onnx.ModelProto:
        return build(network, manifest, self.sampler, self.program)

    def largest_difference(self, model: Path, path: Path) -> float:
        return Proof(self.sampler, self.program, model).largest_difference(path)

    def description(self) -> dict[str, Any]:
        evaluations = self.program.evaluations
        return {
            "options": asdict(self.sampler),
            "noise": self.program.draws,
            "nfe": {"least": int(evaluations.min()), "most": int(evaluations.max())},
        }
