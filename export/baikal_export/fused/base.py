"""What fused samplers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from baikal_deploy.models.manifest import ModelManifest


@dataclass(frozen=True)
class FusedSampler(ABC):
    """A sampler that has been made ready to be written as one graph.

    Attributes:
        name: of the sampler.
    """

    name: str

    def path(self, model: Path) -> Path:
        """Path of the file: model.onnx -> model-NAME.onnx beside it."""
        return model.with_name(f"{model.stem}-{self.name}.onnx")

    @abstractmethod
    def build(self, network: onnx.ModelProto, manifest: ModelManifest) -> onnx.ModelProto:
        """The graph, without metadata.

        Args:
            network: the model that ``manifest`` describes.
        """

    @abstractmethod
    def largest_difference(self, model: Path, path: Path) -> float:
        """Largest difference from the NumPy sampler, on the network's scale.

        Args:
            model: .onnx file of the network, which the NumPy sampler evaluates on ONNX Runtime's CPU.
            path: of the graph.

        Raises:
            ModelError: ONNX Runtime cannot load it.
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Options and what else the file's metadata tell, as JSON holds it."""
