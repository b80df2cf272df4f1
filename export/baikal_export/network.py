"""The graph that is exported."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_training.losses import Prediction


class EpsNetwork(nn.Module):
    """A trained network with the one contract of all engines.

    ``x_t`` (N, 1, H, W) and ``timesteps`` (N,), float32, original and maybe fractional, ->
    ``eps`` (N, 1, H, W), and ``v`` of the same shape with learned-range variance.
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, net: nn.Module, prediction: Prediction, schedule: ScheduleSpec) -> None:
        super().__init__()
        self.net = net
        self.prediction, self.schedule = prediction, schedule
        levels = schedule.build().alphas_cumprod
        self.register_buffer("signal", torch.from_numpy(np.sqrt(levels).astype(np.float32)))
        self.register_buffer("noise", torch.from_numpy(np.sqrt(1 - levels).astype(np.float32)))

    def around(self, net: nn.Module) -> EpsNetwork:
        """The same contract around another form of the network."""
        return EpsNetwork(net, self.prediction, self.schedule).eval()

    def forward(self, x_t: Tensor, timesteps: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        output = self.net(x_t, timesteps)
        eps = output[:, :1]
        if self.prediction == "velocity":
            # v = √ᾱ·ε − √(1−ᾱ)·x_0, so that ε = √ᾱ·v + √(1−ᾱ)·x_t (Salimans & Ho 2022).
            eps = _interpolate(self.signal, timesteps) * eps + _interpolate(self.noise, timesteps) * x_t
        return eps if output.shape[1] == 1 else (eps, output[:, 1:])


def _interpolate(table: Tensor, t: Tensor) -> Tensor:
    """The table at fractional positions, linear in between: (N,) -> (N, 1, 1, 1)."""
    below = t.floor().clamp(0, len(table) - 2)
    index, fraction = below.long(), t - below
    return (table[index] * (1 - fraction) + table[index + 1] * fraction)[:, None, None, None]
