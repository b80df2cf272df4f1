"""Tiny models exported in every precision by the command line; made once per test session."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from click.testing import CliRunner

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import Stored
from baikal_export.cli import main
from baikal_export.trained import TrainedModel
from baikal_training.checkpoint import Checkpoint
from baikal_training.data import Shares, open_clean, split
from baikal_training.losses import Objective, Prediction
from baikal_training.unet import UNet, UNetConfig
from tests.clean import write_clean

UNETS: dict[Stored, UNetConfig] = {
    "fp16": UNetConfig(
        channels=(8,), blocks=(1,), norm_groups=4, attention=(0,), head_channels=4, out_channels=2
    ),
    "bf16": UNetConfig(channels=(8,), blocks=(1,), norm_groups=4),
    "int8": UNetConfig(channels=(8,), blocks=(1,)),
}
"""One level each, since tracing takes seconds."""


@dataclass(frozen=True)
class Reduced:
    """A file of baikal-export, what it said, and what it was made of."""

    path: Path
    said: str
    checkpoint: Checkpoint

    @property
    def trained(self) -> TrainedModel:
        return TrainedModel.of_checkpoint(self.checkpoint)


def checkpoint(config: UNetConfig, clean: Path, prediction: Prediction = "velocity") -> Checkpoint:
    """Small weights that are nonzero everywhere; volumes of ``clean`` to train on and to validate with."""
    net, generator = UNet(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            scale = 0.3 if weight.ndim < 2 else weight[0].numel() ** -0.5
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    parts = split(open_clean([clean], Normalisation()).volumes, Shares.parse("50:50:0")).as_dict()
    objective = Objective(prediction, "learned_range" if config.out_channels == 2 else "fixed_small")
    schedule = ScheduleSpec("linear", 1000)
    return Checkpoint(config, schedule, objective, Normalisation(), net.state_dict(), {}, parts)


@functools.cache
def reduced(precision: Stored) -> Reduced:
    """A model of ``UNETS`` in a precision, checked with its own volumes."""
    folder = Path(tempfile.mkdtemp(prefix="baikal-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = checkpoint(UNETS[precision], write_clean(folder / "clean"))
    made.save(folder / "net.pt")
    result = CliRunner().invoke(main, [str(folder / "net.pt"), "--precision", precision])
    assert result.exit_code == 0, result.output
    return Reduced(folder / f"net-{precision}.onnx", result.stdout, made)
