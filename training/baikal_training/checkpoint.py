"""Checkpoints: everything export and a later training need, written atomically."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.host.durable import whole_file
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.noise_model import Kernel
from baikal_training.losses import Objective
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig

FORMAT = "baikal-checkpoint"
VERSION = 2


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what it takes to use it.

    Attributes:
        unet: shape of the network.
        schedule, objective, normalisation: how it was trained, and so how it must be used.
        ema: exponential moving average of the weights; the ones to sample with.
        training: provenance (data, iterations, final losses, versions), JSON-compatible.
        split: the volumes trained on, validated with and held out, with their fingerprints.
        state: what ``Trainer.restore`` needs to continue; None in a finished model.
    """

    unet: UNetConfig
    schedule: ScheduleSpec
    objective: Objective
    normalisation: Normalisation
    ema: dict[str, Tensor]
    training: dict[str, Any]
    split: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None

    def network(self) -> UNet:
        """The EMA network in evaluation mode."""
        net = UNet(self.unet)
        net.load_state_dict(self.ema)
        return net.eval()

    @property
    def noise_correlation(self) -> Kernel | None:
        """Autocorrelation of the noise that it was fine-tuned to; None where it knows white noise."""
        noise = self.training.get("noise")
        return None if noise is None else noise["correlation"]

    def save(self, path: Path) -> None:
        """Write to a temporary file beside ``path`` and rename, so that a crash leaves the old one.

        Raises:
            ModelError: the file cannot be written.
        """
        state = {
            "format": FORMAT,
            "version": VERSION,
            "unet": self.unet.as_dict(),
            "schedule": self.schedule.as_dict(),
            "objective": vars(self.objective),
            "normalisation": vars(self.normalisation),
            "ema": self.ema,
            "training": self.training,
            "split": self.split,
            "state": self.state,
        }
        try:
            with whole_file(path) as partial:
                torch.save(state, partial)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise ModelError(f"{path}: the checkpoint cannot be written ({error})") from error

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """The checkpoint in a file.

        Raises:
            ModelError: the file is missing, damaged, or not a checkpoint of this package.
        """
        if not path.is_file():
            raise ModelError(f"{path}: no such checkpoint")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged bytes make torch raise almost anything
            raise ModelError(f"{path}: not a readable checkpoint; was it cut short?") from error
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ModelError(f"{path}: not a checkpoint of baikal-train")
        try:
            if state["version"] != VERSION:
                age = "a newer" if state["version"] > VERSION else "an older"
                raise ModelError(
                    f"{path}: written by {age} version of baikal-train; use the same to export it"
                )
            return cls(
                unet=UNetConfig.from_dict(state["unet"]),
                schedule=ScheduleSpec.from_dict(state["schedule"]),
                objective=Objective(**state["objective"]),
                normalisation=Normalisation(**state["normalisation"]),
                ema=state["ema"],
                training=state["training"],
                split=state["split"],
                state=state["state"],
            )
        except (KeyError, TypeError, ConfigError) as error:
            raise ModelError(f"{path}: an incomplete or damaged checkpoint ({error!r})") from error
