"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from baikal_deploy.errors import ConfigError
from baikal_deploy.schedule import NoiseSchedule
from baikal_training.data import Augmentation, CleanPlane, CropDataset
from baikal_training.losses import Diffusion

TimestepSampling = Literal["denoising", "uniform"]
Report = Callable[[int, float, float], None]
"""(iteration, loss averaged since the last report, learning rate) -> None."""

REPORT_EVERY = 100


@dataclass(frozen=True)
class TrainingConfig:
    """How to optimise.

    Attributes:
        iterations: optimiser steps; the learning rate decays to zero over them.
        batch, crop: crops per step, and their side in pixels.
        learning_rate, warm_up: peak of AdamW's learning rate, and the steps to reach it.
        ema: decay of the moving average of the weights.
        gradient_clip: largest norm of the gradient.
        timesteps: "uniform" as in Ho et al. 2020, or "denoising": noise levels log-uniform over
            those that noisy images have, with a fifth of the steps uniform.
        bf16: compute in bfloat16 where it is safe; weights stay float32.
        seed: of initial weights, crops, timesteps and noise.
    """

    iterations: int = 6000
    batch: int = 16
    crop: int = 128
    learning_rate: float = 5e-4
    warm_up: int = 200
    ema: float = 0.999
    gradient_clip: float = 1.0
    timesteps: TimestepSampling = "denoising"
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "crop", "warm_up"):
            if getattr(self, name) < 1:
                raise ConfigError(f"training: {name} {getattr(self, name)}: must be at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"training: learning rate {self.learning_rate}: must be greater than 0")
        if self.seed < 0:
            raise ConfigError(f"training: seed {self.seed}: must be at least 0")

    def learning_rate_at(self, iteration: int) -> float:
        """Linear warm-up times a cosine that reaches zero with the last iteration."""
        rise = min(1.0, (iteration + 1) / self.warm_up)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * iteration / self.iterations))


class Ema:
    """Exponential moving average of a network's weights."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.updates += 1
        # A short memory at first: the initial weights must not linger.
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in net.state_dict().items():
            self.weights[name].lerp_(value, 1 - decay)


class TimestepSampler:
    """Draws training timesteps."""

    SIGMAS = (0.02, 3.0)
    UNIFORM_SHARE = 0.2

    def __init__(self, schedule: NoiseSchedule, kind: TimestepSampling, generator: torch.Generator) -> None:
        self.schedule, self.kind, self.generator = schedule, kind, generator

    def __call__(self, count: int) -> Tensor:
        """Original timesteps (count,), int64."""
        uniform = torch.randint(len(self.schedule), (count,), generator=self.generator)
        if self.kind == "uniform":
            return uniform
        low, high = np.log(self.SIGMAS)
        sigmas = np.exp(low + (high - low) * torch.rand(count, generator=self.generator).numpy())
        matched = np.interp(sigmas, self.schedule.noise_levels, np.arange(len(self.schedule)))
        keep = torch.rand(count, generator=self.generator) < self.UNIFORM_SHARE
        return torch.where(keep, uniform, torch.from_numpy(np.rint(matched)).long())


def train(
    net: nn.Module,
    diffusion: Diffusion,
    schedule: NoiseSchedule,
    planes: Sequence[CleanPlane],
    config: TrainingConfig,
    report: Report,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train ``net`` in place.

    Returns:
        The EMA weights, and a JSON-compatible record of the run.

    Raises:
        ConfigError: the loss became NaN or infinite.
    """
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.learning_rate)
    ema, losses = Ema(net, config.ema), []
    started, cpu = time.time(), time.process_time()
    augmentation = Augmentation()
    for iteration, (x0, t, noise) in enumerate(_batches(schedule, planes, config, augmentation)):
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate_at(iteration)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bf16):
            loss = diffusion.loss(net, x0, t, noise)
        if not torch.isfinite(loss):
            raise ConfigError(
                f"the loss became {loss.item()} at iteration {iteration}; lower --learning-rate"
            )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), config.gradient_clip)
        optimiser.step()
        ema.update(net)
        losses.append(loss.item())
        if (iteration + 1) % REPORT_EVERY == 0 or iteration + 1 == config.iterations:
            report(iteration + 1, float(np.mean(losses[-REPORT_EVERY:])), config.learning_rate_at(iteration))
    record = {
        "config": asdict(config),
        "augmentation": asdict(augmentation),
        "final_loss": float(np.mean(losses[-REPORT_EVERY:])),
        "minutes": round((time.time() - started) / 60, 1),
        "cpu_minutes": round((time.process_time() - cpu) / 60, 1),
    }
    return ema.weights, record


def _batches(
    schedule: NoiseSchedule, planes: Sequence[CleanPlane], config: TrainingConfig, augmentation: Augmentation
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(x0, t, noise) of each iteration, all determined by the seed."""
    generator = torch.Generator().manual_seed(config.seed)
    timesteps = TimestepSampler(schedule, config.timesteps, generator)
    length = config.iterations * config.batch
    crops = CropDataset(planes, config.crop, length, config.seed, augmentation)
    for x0 in DataLoader(crops, batch_size=config.batch):
        yield x0, timesteps(len(x0)), torch.randn(x0.shape, generator=generator)


@torch.no_grad()
def denoising_psnr(
    net: nn.Module, diffusion: Diffusion, schedule: NoiseSchedule, planes: Sequence[CleanPlane], sigma: float
) -> float:
    """Mean PSNR (dB, on the clean range [0, 1]) of one evaluation on crops with white noise.

    Args:
        sigma: noise standard deviation on the network's scale, where an image spans [−1, 1].
    """
    generator = torch.Generator().manual_seed(0)
    plain = Augmentation(zoom=(1, 1), gamma=(1, 1), contrast=(1, 1), bright=0, offset=0)
    crops = CropDataset(planes, 128, 64, 0, plain)
    x0 = torch.stack([crops[i] for i in range(len(crops))])
    t = torch.full((len(x0),), round(schedule.timestep_of_noise(sigma)))
    x = diffusion.q_sample(x0, t, torch.randn(x0.shape, generator=generator))
    estimate = diffusion.predict_x0(diffusion.to_eps(net(x, t)[:, :1], x, t), x, t)
    mse = ((estimate - x0) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * mse.log10()).mean())
