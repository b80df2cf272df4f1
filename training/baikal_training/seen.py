"""Where the images that a model learnt from lie among others, so that a run can tell what it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_deploy.measurement.structure.density import Density
from baikal_deploy.measurement.structure.features import SIDE
from baikal_deploy.measurement.structure.recognised import recognise
from baikal_training.data import CleanVolume, validation_crops
from baikal_training.losses import Diffusion
from baikal_training.unet import UNet
from baikal_training.validation import SIGMAS

WINDOWS = 16
"""Windows that are looked at, each with noise of one of ``SIGMAS``."""


@torch.no_grad()
def seen(
    volumes: Sequence[CleanVolume], net: UNet, diffusion: Diffusion, schedule: NoiseSchedule
) -> dict[str, Any] | None:
    """The density of training images, as the network sees them in noise.

    Args:
        volumes: that it was trained on.
        net: the trained network.
        diffusion, schedule: how it was trained.

    Returns:
        The record of a ``Density``; None where the images tell nothing.

    Raises:
        VolumeError: pixels that cannot be read, or are not finite.
    """
    side = SIDE // net.config.downsampling * net.config.downsampling
    crops = validation_crops(volumes, side, WINDOWS)
    estimates = (estimate.numpy() for estimate in _estimates(crops, net, diffusion, schedule))
    places = [found.place for estimate in estimates if (found := recognise([estimate])).place]
    return asdict(Density.of(np.array(places))) if places else None


def _estimates(crops: Tensor, net: UNet, diffusion: Diffusion, schedule: NoiseSchedule) -> Iterator[Tensor]:
    """One evaluation of each crop with noise."""
    device = next(net.parameters()).device
    white = torch.randn(crops.shape, generator=torch.Generator().manual_seed(0))
    for index, (crop, noise) in enumerate(zip(crops.split(1), white.split(1), strict=True)):
        sigma = SIGMAS[index % len(SIGMAS)]
        t = torch.full((1,), round(schedule.timestep_of_noise(sigma)), device=device)
        x_t = diffusion.q_sample(crop.to(device), t, noise.to(device))
        eps = diffusion.to_eps(net(x_t, t)[:, :1], x_t, t)
        yield diffusion.predict_x0(eps, x_t, t)[0, 0].cpu()
