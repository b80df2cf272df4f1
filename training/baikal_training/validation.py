"""Validation of a network while it is trained: figures and pictures."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baikal_deploy.diffusion.random_field import NoiseField
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.samplers.base import Predict
from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_deploy.pixels.arrays import Planes
from baikal_training.losses import Diffusion
from baikal_training.noise import MeasuredNoise, correlated
from baikal_training.samples import TimestepSampler

SIGMAS = (0.1, 0.36, 0.5, 0.71)
"""Noise standard deviations on the network's scale, where an image spans [−1, 1]."""
CROPS = 64
PANEL_SIGMA = 0.5
PANEL_CROPS = 4
PART = 16
"""Crops that are computed at once."""


def predictor(net: nn.Module, diffusion: Diffusion) -> Predict:
    """The network as a function for the samplers of the runtime, at whole timesteps."""
    device = next(net.parameters()).device

    @torch.no_grad()
    def predict(x: Planes, t: float) -> tuple[Planes, Planes | None]:
        xs = torch.from_numpy(x).to(device)
        steps = torch.full((len(xs),), round(t), device=device)
        output = net(xs, steps)
        eps = diffusion.to_eps(output[:, :1], xs, steps).cpu().numpy()
        return eps, output[:, 1:].cpu().numpy() if output.shape[1] > 1 else None

    return predict


class Validation:
    """A validation with fixed noise on fixed crops, so that figures of different moments can be compared."""

    def __init__(
        self, diffusion: Diffusion, schedule: NoiseSchedule, crops: Tensor, noise: MeasuredNoise | None = None
    ) -> None:
        """``crops`` are clean, (N, 1, H, W); without ``noise``, it is white."""
        self.diffusion, self.schedule, self.crops, self.kind = diffusion, schedule, crops, noise
        white = torch.randn(crops.shape, generator=torch.Generator().manual_seed(0))
        self.noise = white if noise is None else correlated(white, noise.correlation)

    def of_first(self, count: int) -> Validation:
        """The same on the first of its crops."""
        return Validation(self.diffusion, self.schedule, self.crops[:count], self.kind)

    def seconds_each(self, net: nn.Module) -> float:
        """Seconds that a validation takes for each crop, from one evaluation of some."""
        few = self.of_first(PART)
        few._psnr(net, SIGMAS[0])  # what is computed for the first time takes longer
        began = time.monotonic()
        few._psnr(net, SIGMAS[0])
        return (time.monotonic() - began) / len(few.crops) * (len(SIGMAS) + 1)

    @torch.no_grad()
    def loss(self, net: nn.Module) -> float:
        """The training loss, with timesteps spread evenly over those that are trained on."""
        trained = TimestepSampler(self.schedule, "uniform", self.kind)
        t = torch.linspace(trained.first, trained.last, len(self.crops)).round().long()
        losses = [self.diffusion.loss(net, *part) for part in self._parts(net, t)]
        return float(np.mean(torch.stack(losses).tolist()))

    def psnr(self, net: nn.Module) -> dict[str, float]:
        """Mean PSNR (dB, on the clean range [0, 1]) of one evaluation, by the noise's sigma."""
        return {str(sigma): round(self._psnr(net, sigma), 2) for sigma in SIGMAS}

    @torch.no_grad()
    def _psnr(self, net: nn.Module, sigma: float) -> float:
        t = torch.full((len(self.crops),), round(self.schedule.timestep_of_noise(sigma)))
        values = []
        for x0, steps, noise in self._parts(net, t):
            estimate = self._denoised(net, self.diffusion.q_sample(x0, steps, noise), steps)
            mse = ((estimate - x0) / 2).square().mean(dim=(1, 2, 3))
            values.append(-10 * mse.log10())
        return float(torch.cat(values).mean())

    def _parts(self, net: nn.Module, t: Tensor) -> list[tuple[Tensor, ...]]:
        device = next(net.parameters()).device
        parts = (tensor.to(device).split(PART) for tensor in (self.crops, t, self.noise))
        return list(zip(*parts, strict=True))

    def _denoised(self, net: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        return self.diffusion.predict_x0(self.diffusion.to_eps(net(x, t)[:, :1], x, t), x, t)

    @torch.no_grad()
    def panel(self, net: nn.Module) -> NDArray[np.uint8]:
        """Rows of crops: clean, noisy, denoised by one evaluation, white noise also by Repaint. (H, W)."""
        device = next(net.parameters()).device
        clean, noise = self.crops[:PANEL_CROPS].to(device), self.noise[:PANEL_CROPS].to(device)
        step = round(self.schedule.timestep_of_noise(PANEL_SIGMA))
        t = torch.full((len(clean),), step, device=device)
        x = self.diffusion.q_sample(clean, t, noise)
        y = clean + PANEL_SIGMA * noise
        rows = [clean, y, self._denoised(net, x, t)]
        if self.kind is None:
            rows.append(self._repainted(net, y, step))
        tiled = torch.cat([row.cpu().squeeze(1).permute(1, 0, 2).flatten(1) for row in rows])
        return ((tiled + 1) * 127.5).clamp(0, 255).byte().numpy()

    def _repainted(self, net: nn.Module, y: Tensor, step: int) -> Tensor:
        """The runtime's Repaint, with this network as its engine."""
        variance = self.diffusion.objective.variance
        sampler = make_sampler("repaint", {}, {}).resolved(step, len(self.schedule), variance)
        fields = [NoiseField(0, plane, (y.shape[2], y.shape[3])) for plane in range(len(y))]

        def noise(visit: int, draw: int) -> Planes:
            return np.stack([field(visit, draw) for field in fields])[:, None]

        predict = predictor(net, self.diffusion)
        x0 = sampler.sample(predict, y.cpu().numpy(), sampler.respace(self.schedule), noise)
        return torch.from_numpy(x0).to(y.device)
