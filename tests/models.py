"""Tiny models with random weights, for tests that need a real network."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import torch

from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.network import EpsNetwork
from baikal_export.onnx_file import export
from baikal_export.trained import TrainedModel
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Objective, Prediction
from baikal_training.unet import UNet, UNetConfig

# Networks this small lose more to threads waiting for each other than they gain.
torch.set_num_threads(1)


def tiny_net(out_channels: int = 1, seed: int = 0) -> UNet:
    """A small UNet whose output depends on every input, which a freshly made one's does not."""
    net = UNet(UNetConfig(channels=(8, 16), blocks=(1, 1), out_channels=out_channels))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            scale = 0.3 if weight.ndim < 2 else weight[0].numel() ** -0.5
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    return net.eval()


def tiny_checkpoint(
    prediction: Prediction = "velocity", variance: Variance = "fixed_small", seed: int = 0
) -> Checkpoint:
    objective = Objective(prediction, variance)
    net = tiny_net(objective.out_channels, seed)
    spec = ScheduleSpec("linear", 1000)
    return Checkpoint(net.config, spec, objective, Normalisation(), net.state_dict(), {"iterations": 0})


def tiny_manifest(checkpoint: Checkpoint) -> ModelManifest:
    return ModelManifest(
        name="tiny",
        schedule=checkpoint.schedule,
        variance=checkpoint.objective.variance,
        normalisation=checkpoint.normalisation,
        downsampling=checkpoint.unet.downsampling,
    )


def eps_network(checkpoint: Checkpoint) -> EpsNetwork:
    return TrainedModel.of_checkpoint(checkpoint).network()


def exported(prediction: Prediction = "velocity", variance: Variance = "fixed_small") -> Path:
    """The .onnx file of ``tiny_checkpoint(prediction, variance)``; made once per test session."""
    return _exported(prediction, variance)


@functools.cache
def _exported(prediction: Prediction, variance: Variance) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="baikal-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    checkpoint = tiny_checkpoint(prediction, variance)
    path = folder / f"{prediction}-{variance}.onnx"
    export(eps_network(checkpoint), tiny_manifest(checkpoint), path)
    return path
