"""The trained model that export needs, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from baikal_deploy._version import __version__
from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.noise_model import Kernel
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.network import EpsNetwork
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Prediction

SEEN = "seen"
"""Entry of the training record that goes into the record beside the file, and not into the file."""


@dataclass(frozen=True)
class TrainedModel:
    """A network and what it takes to use it.

    Attributes:
        net: (N, 1, H, W) noisy planes in [−1, 1] and (N,) float timesteps 0 … T−1 ->
            (N, 1, H, W), or (N, 2, H, W) with learned-range variance; in evaluation mode.
        prediction: what its first output is.
        schedule, variance, normalisation: as in the manifest.
        downsampling: H and W must be multiples of it.
        training: provenance, JSON-compatible.
        volumes: what it was trained on and validated with, by part (see ``Split.as_dict``); none are
            known of another project's model.
        noise_correlation: as in the manifest.
    """

    net: nn.Module
    prediction: Prediction
    schedule: ScheduleSpec
    variance: Variance
    normalisation: Normalisation
    downsampling: int
    training: dict[str, Any]
    volumes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    noise_correlation: Kernel | None = None

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> TrainedModel:
        return cls(
            net=checkpoint.network(),
            prediction=checkpoint.objective.prediction,
            schedule=checkpoint.schedule,
            variance=checkpoint.objective.variance,
            normalisation=checkpoint.normalisation,
            downsampling=checkpoint.unet.downsampling,
            training=checkpoint.training,
            volumes=checkpoint.split,
            noise_correlation=checkpoint.noise_correlation,
        )

    def network(self) -> EpsNetwork:
        """The graph to export."""
        return EpsNetwork(self.net, self.prediction, self.schedule)

    def manifest(self, name: str, **described: Any) -> ModelManifest:
        """The manifest to put into the file; ``described`` are its fields that are a matter of words."""
        training = {key: value for key, value in self.training.items() if key != SEEN}
        return ModelManifest(
            name=name,
            schedule=self.schedule,
            variance=self.variance,
            normalisation=self.normalisation,
            downsampling=self.downsampling,
            noise_correlation=self.noise_correlation,
            training=training | {"exported_by": f"baikal-deploy {__version__}"},
            **described,
        )
