"""The loss that the network is trained to minimise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baikal_deploy.diffusion.schedule import NoiseSchedule, Variance
from baikal_deploy.errors import ConfigError

Prediction = Literal["eps", "velocity"]


@dataclass(frozen=True)
class Objective:
    """The prediction of the network, and the rule for the reverse variance.

    Attributes:
        prediction: "eps" (Ho et al. 2020) or "velocity", √ᾱ·ε − √(1−ᾱ)·x_0 (Salimans & Ho 2022),
            which converges faster; export converts it to ε.
        variance: "learned_range" trains a second output with the variational bound.
    """

    prediction: Prediction = "velocity"
    variance: Variance = "fixed_small"

    def __post_init__(self) -> None:
        if self.prediction not in get_args(Prediction):
            raise ConfigError(f"prediction '{self.prediction}': choose {' or '.join(get_args(Prediction))}")
        if self.variance not in get_args(Variance):
            raise ConfigError(f"variance '{self.variance}': choose one of {', '.join(get_args(Variance))}")

    @property
    def out_channels(self) -> int:
        return 2 if self.variance == "learned_range" else 1


class Diffusion:
    """The forward process and the loss on torch tensors (N, 1, H, W), from the runtime's schedule."""

    def __init__(
        self, schedule: NoiseSchedule, objective: Objective, device: torch.device | str = "cpu"
    ) -> None:
        """``device`` is where the tensors will be: its tables are kept there."""

        def table(values: NDArray[np.float64]) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(device)

        self.objective = objective
        self.num_timesteps = len(schedule)
        self.signal = table(np.sqrt(schedule.alphas_cumprod))
        self.noise = table(np.sqrt(1 - schedule.alphas_cumprod))
        previous, beta = schedule.alphas_cumprod_prev, schedule.betas
        self.mean_of_x0 = table(beta * np.sqrt(previous) / (1 - schedule.alphas_cumprod))
        self.mean_of_x = table((1 - previous) * np.sqrt(1 - beta) / (1 - schedule.alphas_cumprod))
        smallest = np.asarray([schedule.reverse_std(i, "fixed_small") for i in range(len(schedule))])
        self.log_small = table(2 * np.log(smallest))
        self.log_large = table(np.log(beta))

    def q_sample(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return _at(self.signal, t) * x0 + _at(self.noise, t) * noise

    def to_eps(self, output: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The network's first output as ε: for velocity, ε = √ᾱ·v + √(1−ᾱ)·x_t."""
        if self.objective.prediction == "eps":
            return output
        return _at(self.signal, t) * output + _at(self.noise, t) * x

    def predict_x0(self, eps: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return (x - _at(self.noise, t) * eps) / _at(self.signal, t)

    def loss(self, net: Callable[[Tensor, Tensor], Tensor], x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """MSE of the prediction, plus vb·T/1000 with learned-range variance (Nichol & Dhariwal 2021)."""
        x = self.q_sample(x0, t, noise)
        output = net(x, t).float()
        prediction = output[:, :1]
        target = noise
        if self.objective.prediction == "velocity":
            target = _at(self.signal, t) * noise - _at(self.noise, t) * x0
        loss = (prediction - target).square().mean()
        if self.objective.variance == "learned_range":
            # ε is detached: the bound trains the variance output alone.
            eps = self.to_eps(prediction.detach(), x, t)
            loss = (
                loss + self.variational_bound(eps, output[:, 1:], x0, x, t).mean() * self.num_timesteps / 1000
            )
        return loss

    def variational_bound(self, eps: Tensor, v: Tensor, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The variational bound's term at t, in bits per dimension: (N,)."""
        log_var = _at(self.log_small, t) + (v + 1) / 2 * (_at(self.log_large, t) - _at(self.log_small, t))
        mean = self._posterior_mean(self.predict_x0(eps, x, t), x, t)
        true_mean, true_log_var = self._posterior_mean(x0, x, t), _at(self.log_small, t)
        kl = 0.5 * (
            log_var - true_log_var - 1
            + (true_log_var - log_var).exp()
            + (true_mean - mean).square() * (-log_var).exp()
        )  # fmt: skip
        likelihood = -_discretised_log_likelihood(x0, mean, 0.5 * log_var)
        terms = torch.where((t == 0)[:, None, None, None], likelihood, kl)
        return terms.mean(dim=(1, 2, 3)) / math.log(2)

    def _posterior_mean(self, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return _at(self.mean_of_x0, t) * x0 + _at(self.mean_of_x, t) * x


def _discretised_log_likelihood(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-likelihood of pixels in bins 2/255 wide over [−1, 1] (Ho et al. 2020, section 3.3)."""
    inverse_std = (-log_std).exp()
    below = torch.special.ndtr((x - mean - 1 / 255) * inverse_std)
    above = torch.special.ndtr((x - mean + 1 / 255) * inverse_std)
    mass = torch.where(x < -0.999, above, torch.where(x > 0.999, 1 - below, above - below))
    return mass.clamp(min=1e-12).log()


def _at(table: Tensor, t: Tensor) -> Tensor:
    return table[t][:, None, None, None]
