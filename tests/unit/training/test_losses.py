"""The loss against an independent float64 computation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from baikal_deploy.diffusion.schedule import NoiseSchedule, ScheduleSpec
from baikal_deploy.errors import ConfigError
from baikal_training.losses import Diffusion, Objective, Prediction

T = 1000
TIMESTEPS = torch.tensor([0, 1, 30, 400, 999])


class Fixed(nn.Module):
    """A network that always answers the same, and whose answer has a gradient."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.output


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def batch() -> tuple[Tensor, Tensor]:
    return 0.5 * draw(5, 1, 6, 7, seed=1), draw(5, 1, 6, 7, seed=2)


def schedule() -> NoiseSchedule:
    return ScheduleSpec("linear", T).build()


def reference(prediction: Prediction, variance: str, output: Tensor, x0: Tensor, noise: Tensor) -> float:
    """Ho et al. 2020 and Nichol & Dhariwal 2021, one sample and one pixel table at a time."""
    betas = np.linspace(1e-4, 0.02, T)
    levels = np.cumprod(1 - betas)
    out, clean, z = (values.double().numpy() for values in (output, x0, noise))
    squares, bounds = [], []
    for i, t in enumerate(TIMESTEPS.tolist()):
        level, previous, beta = levels[t], levels[t - 1] if t else 1.0, betas[t]
        x = math.sqrt(level) * clean[i, 0] + math.sqrt(1 - level) * z[i, 0]
        target = z[i, 0]
        eps = out[i, 0]
        if prediction == "velocity":
            target = math.sqrt(level) * z[i, 0] - math.sqrt(1 - level) * clean[i, 0]
            estimate = math.sqrt(level) * x - math.sqrt(1 - level) * out[i, 0]
            eps = (x - math.sqrt(level) * estimate) / math.sqrt(1 - level)
        squares.append((out[i, 0] - target) ** 2)
        if variance == "learned_range":
            bounds.append(bound(t, level, previous, beta, betas, levels, x, clean[i, 0], eps, out[i, 1]))
    return float(np.mean(squares) + (np.mean(bounds) * T / 1000 if bounds else 0))


def bound(
    t: int, level: float, previous: float, beta: float, betas: np.ndarray, levels: np.ndarray,
    x: np.ndarray, clean: np.ndarray, eps: np.ndarray, v: np.ndarray,
) -> np.ndarray:  # fmt: skip
    def mean(image: np.ndarray) -> np.ndarray:
        return (
            math.sqrt(previous) * beta * image + math.sqrt(1 - beta) * (1 - previous) * x
        ) / (1 - level)  # fmt: skip

    smallest = betas[1] * (1 - levels[0]) / (1 - levels[1])
    tilde = beta * (1 - previous) / (1 - level) if t else smallest
    model_mean = mean((x - math.sqrt(1 - level) * eps) / math.sqrt(level))
    variance = np.exp((v + 1) / 2 * math.log(beta) + (1 - v) / 2 * math.log(tilde))
    if t:
        kl = 0.5 * (np.log(variance / tilde) + (tilde + (mean(clean) - model_mean) ** 2) / variance - 1)
        return kl / math.log(2)
    upper = np.where(clean > 0.999, np.inf, clean + 1 / 255)
    lower = np.where(clean < -0.999, -np.inf, clean - 1 / 255)
    std = np.sqrt(variance)
    mass = norm.cdf(upper, model_mean, std) - norm.cdf(lower, model_mean, std)
    return -np.log2(np.maximum(mass, 1e-12))


@pytest.mark.parametrize("prediction", ["eps", "velocity"])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned_range"])
def test_loss_against_the_formulas(prediction: Prediction, variance: str) -> None:
    objective = Objective(prediction, variance)  # type: ignore[arg-type]
    diffusion = Diffusion(schedule(), objective)
    x0, noise = batch()
    x0[0, 0, 0, :3] = torch.tensor([1.0, -1.0, 1.4])  # the open bins at both ends
    target = noise
    if prediction == "velocity":
        x = diffusion.q_sample(x0, TIMESTEPS, noise)
        levels = torch.tensor(schedule().alphas_cumprod[TIMESTEPS]).float()[:, None, None, None]
        target = (levels.sqrt() * x - x0) / (1 - levels).sqrt()
        target = levels.sqrt() * noise - (1 - levels).sqrt() * x0
    # A good prediction: the bound of a bad one hides in its clamp.
    answer = target + 0.01 * draw(*x0.shape, seed=3)
    if objective.out_channels == 2:
        answer = torch.cat([answer, draw(*x0.shape, seed=4).clamp(-1, 1)], dim=1)
    loss = diffusion.loss(Fixed(answer), x0, TIMESTEPS, noise).item()
    assert loss == pytest.approx(reference(prediction, variance, answer, x0, noise), rel=1e-3)


@pytest.mark.parametrize("prediction", ["eps", "velocity"])
def test_bound_trains_the_variance_output_alone(prediction: Prediction) -> None:
    x0, noise = batch()
    answer = draw(5, 2, 6, 7, seed=3)
    gradients = []
    for variance, output in (("fixed_small", answer[:, :1]), ("learned_range", answer)):
        net = Fixed(output.clone())
        diffusion = Diffusion(schedule(), Objective(prediction, variance))  # type: ignore[arg-type]
        diffusion.loss(net, x0, TIMESTEPS, noise).backward()
        gradients.append(net.output.grad)
    torch.testing.assert_close(gradients[1][:, :1], gradients[0], rtol=1e-6, atol=1e-9)
    assert (gradients[1][1:, 1:].abs().amax(dim=(1, 2, 3)) > 0).all()


def vlb(eps: Tensor, v: Tensor, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
    return Diffusion(schedule(), Objective("eps", "learned_range")).variational_bound(eps, v, x0, x, t)


def test_bound_of_the_true_posterior_is_zero() -> None:
    x0, noise = batch()
    diffusion = Diffusion(schedule(), Objective())
    x = diffusion.q_sample(x0, TIMESTEPS, noise)
    bits = vlb(noise, -torch.ones_like(x0), x0, x, TIMESTEPS)
    torch.testing.assert_close(bits[1:], torch.zeros(4), atol=1e-3, rtol=0)
    worse = vlb(noise + 0.2, -torch.ones_like(x0), x0, x, TIMESTEPS)
    assert (worse > bits + 1e-6).all()


@pytest.mark.parametrize("v", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("offset", [-1.3, 0.0, 0.4])
def test_likelihood_at_0_sums_to_one_over_the_256_bins(v: float, offset: float) -> None:
    x0 = torch.linspace(-1, 1, 256).reshape(-1, 1, 1, 1)
    fixed = torch.full_like(x0, offset)  # the same x_0 estimate, and so the same distribution, for all
    eps, t = torch.zeros_like(x0), torch.zeros(256, dtype=torch.long)
    bits = vlb(eps, torch.full_like(x0, v), x0, fixed, t)
    assert (2.0**-bits).sum().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("prediction", ["eps", "velocity"])
def test_conversions_recover_noise_and_image(prediction: Prediction) -> None:
    x0, noise = batch()
    t = torch.tensor([0, 10, 100, 400, 600])
    diffusion = Diffusion(schedule(), Objective(prediction))
    x = diffusion.q_sample(x0, t, noise)
    levels = torch.tensor(schedule().alphas_cumprod[t]).float()[:, None, None, None]
    torch.testing.assert_close(x, levels.sqrt() * x0 + (1 - levels).sqrt() * noise)
    output = noise if prediction == "eps" else levels.sqrt() * noise - (1 - levels).sqrt() * x0
    eps = diffusion.to_eps(output, x, t)
    torch.testing.assert_close(eps, noise, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(diffusion.predict_x0(eps, x, t), x0, atol=1e-4, rtol=1e-4)


def test_perfect_network_has_no_loss() -> None:
    x0, noise = batch()
    assert Diffusion(schedule(), Objective("eps")).loss(Fixed(noise), x0, TIMESTEPS, noise).item() == 0


def test_unknown_objectives_are_refused() -> None:
    with pytest.raises(ConfigError, match="prediction 'x0': choose eps or velocity"):
        Objective("x0")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="variance 'learned': choose one of fixed_small"):
        Objective("eps", "learned")  # type: ignore[arg-type]


def test_out_channels_follow_the_variance() -> None:
    assert [Objective("eps", v).out_channels for v in ("fixed_small", "fixed_large", "learned_range")] == [
        1,
        1,
        2,
    ]


@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
def test_tables_lie_on_the_device(variance: Any) -> None:
    """On torch's device without memory, what lies elsewhere cannot be combined."""
    diffusion = Diffusion(schedule(), Objective("velocity", variance), "meta")
    x0, t = torch.zeros(5, 1, 6, 7, device="meta"), TIMESTEPS.to("meta")
    outputs = diffusion.objective.out_channels
    assert diffusion.loss(lambda x, _: x.repeat(1, outputs, 1, 1), x0, t, x0).device.type == "meta"
