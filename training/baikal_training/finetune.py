"""The measurement of --finetune-noise: the noise of a volume, by a network that knows white noise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from baikal_deploy.diffusion.samplers.matched import posterior_mean
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.analysis import analyse
from baikal_deploy.measurement.channel import Estimate, measure
from baikal_deploy.pixels.arrays import Plane
from baikal_training.checkpoint import Checkpoint
from baikal_training.data import noisy_sample
from baikal_training.data.readers import Channel
from baikal_training.losses import Diffusion
from baikal_training.noise import MeasuredNoise
from baikal_training.runs import recorded
from baikal_training.validation import predictor

DIGITS = 4
"""Digits of what is recorded: more than were measured."""


def noise_to_learn(
    path: Path, channel: Channel, checkpoint: Checkpoint, device: torch.device, resumed: Path | None
) -> MeasuredNoise:
    """The noise of a volume; of a run that is resumed, as it was measured when that began.

    Args:
        path: the noisy volume.
        channel: of a volume with several.
        checkpoint: whose network estimates what the volume shows.
        device: that the network computes on.
        resumed: folder of that run.

    Raises:
        VolumeError: the volume cannot be read.
        ConfigError: its planes are too small, or its noise is nothing to learn.
    """
    sample, fingerprint = noisy_sample(path, channel)
    known = recorded(resumed).get("noise") if resumed is not None else None
    if known is not None and (known["volume"], known["fingerprint"]) == (str(path), fingerprint):
        return MeasuredNoise(**known | {"correlation": tuple(map(tuple, known["correlation"]))})
    side = checkpoint.unet.downsampling
    cut = [window[: len(window) // side * side, : window.shape[1] // side * side] for window in sample]
    if not all(window.size for window in cut):
        raise ConfigError(f"--finetune-noise {path}: its planes are smaller than {side} x {side} pixels")
    return _measured(path, fingerprint, cut, checkpoint, device)


def _measured(
    path: Path, fingerprint: str, sample: list[NDArray[Any]], checkpoint: Checkpoint, device: torch.device
) -> MeasuredNoise:
    estimate = _estimate(checkpoint, device)
    found = measure(sample, checkpoint.normalisation, estimate)
    found = analyse(sample, checkpoint.normalisation, found, estimate)
    spectrum = found.spectrum
    if spectrum is None:
        raise ConfigError(
            f"--finetune-noise {path}: its noise is white as far as can be told, and the model as it is fits "
            "that; denoise with it as it is"
        )
    return MeasuredNoise(str(path), fingerprint, spectrum.kernel, round(math.sqrt(spectrum.variance), DIGITS))


def _estimate(checkpoint: Checkpoint, device: torch.device) -> Estimate:
    """The posterior mean of the checkpoint's network, at the nearest whole timestep."""
    schedule = checkpoint.schedule.build()
    predict = predictor(checkpoint.network().to(device), Diffusion(schedule, checkpoint.objective, device))

    def estimate(plane: Plane, sigma: float) -> Plane:
        level = schedule.noise_levels[round(schedule.timestep_of_noise(sigma))]
        x0: Plane = posterior_mean(predict, np.asarray(plane)[None, None], schedule, float(level))[0, 0]
        return x0

    return estimate
