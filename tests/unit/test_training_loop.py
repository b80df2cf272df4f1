"""The training loop and its parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest
from torch import Tensor, nn

from baikal_deploy.errors import ConfigError
from baikal_deploy.schedule import ScheduleSpec
from baikal_training.data import CleanPlane
from baikal_training.loop import Ema, TimestepSampler, TrainingConfig, denoising_psnr, train
from baikal_training.losses import Diffusion, Objective
from baikal_training.unet import UNet
from tests.models import tiny_net

SCHEDULE = ScheduleSpec("linear", 1000).build()


def clean_planes(count: int = 3) -> list[CleanPlane]:
    pixels = [gaussian_filter(np.random.default_rng(i).standard_normal((64, 64)), 3) for i in range(count)]
    return [
        CleanPlane(Path(f"{i}.tif"), (4 * p / p.max()).astype(np.float32), 0.0) for i, p in enumerate(pixels)
    ]


def drawn(kind: Any, count: int = 40_000, seed: int = 0) -> Tensor:
    return TimestepSampler(SCHEDULE, kind, torch.Generator().manual_seed(seed))(count)


def test_uniform_timesteps_are_uniform() -> None:
    t = drawn("uniform")
    assert t.dtype == torch.int64
    assert (t.min(), t.max()) == (0, 999)
    assert kstest((t.numpy() + 0.5) / 1000, "uniform").pvalue > 0.001


def test_denoising_timesteps_are_log_uniform_in_noise_but_for_a_fifth() -> None:
    t = drawn("denoising").numpy()
    assert (t.min(), t.max()) == (0, 999)
    low, high = np.log(TimestepSampler.SIGMAS)
    edges = np.array([100, 200, 300, 400, 500, 600, 700, 900])
    sigmas = np.log(np.interp(edges - 0.5, np.arange(1000), SCHEDULE.noise_levels))
    expected = 0.2 * edges / 1000 + 0.8 * np.clip((sigmas - low) / (high - low), 0, 1)
    np.testing.assert_allclose((t[:, None] < edges).mean(axis=0), expected, atol=0.012)


@pytest.mark.parametrize("kind", ["uniform", "denoising"])
def test_timesteps_follow_the_seed(kind: str) -> None:
    assert torch.equal(drawn(kind), drawn(kind))
    assert not torch.equal(drawn(kind), drawn(kind, seed=1))


def test_learning_rate_rises_linearly_and_falls_to_zero() -> None:
    config = TrainingConfig(iterations=1000, learning_rate=2e-3, warm_up=100)
    rates = np.array([config.learning_rate_at(i) for i in range(1001)])
    assert rates[0] == pytest.approx(2e-3 / 100)
    assert rates[49] == pytest.approx(1e-3, rel=0.01)
    assert rates.argmax() == 99
    assert rates.max() == pytest.approx(2e-3, rel=0.03)
    assert (np.diff(rates[100:]) < 0).all()
    assert rates[500] == pytest.approx(1e-3)
    assert rates[999] < 1e-8
    assert rates[1000] == pytest.approx(0, abs=1e-15)


def test_ema_against_the_formula() -> None:
    net = nn.Linear(3, 2)
    ema = Ema(net, 0.6)
    expected = net.weight.detach().clone()
    for update in range(1, 21):
        with torch.no_grad():
            net.weight += update
        ema.update(net)
        decay = min(0.6, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * net.weight.detach()
        torch.testing.assert_close(ema.weights["weight"], expected)
    assert not torch.equal(ema.weights["weight"], net.weight)


@pytest.mark.parametrize("values", [{"iterations": 0}, {"batch": 0}, {"crop": -4}])
def test_counts_below_one_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        TrainingConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [{"seed": -1}, {"learning_rate": -1.0}, {"learning_rate": float("nan")}, {"warm_up": 0}],
    ids=str,
)
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TrainingConfig(**values)


def fresh(out_channels: int = 1) -> UNet:
    torch.manual_seed(0)
    return UNet(tiny_net(out_channels).config)


def trained(objective: Objective, **values: Any) -> tuple[UNet, dict[str, Tensor], dict[str, Any], list[Any]]:
    config = TrainingConfig(**{"batch": 4, "crop": 16, "warm_up": 5, "ema": 0.9, **values})
    net, reports = fresh(objective.out_channels), []
    weights, record = train(
        net, Diffusion(SCHEDULE, objective), SCHEDULE, clean_planes(), config,
        lambda *report: reports.append(report),
    )  # fmt: skip
    return net, weights, record, reports


@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
def test_training_lowers_the_loss(variance: Any) -> None:
    objective = Objective("velocity", variance)
    _, weights, record, reports = trained(objective, iterations=120, learning_rate=5e-3)
    diffusion, net = Diffusion(SCHEDULE, objective), fresh(objective.out_channels)
    x0 = torch.from_numpy(np.stack([plane.pixels for plane in clean_planes()]))[:, None]
    noise, t = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)), torch.tensor([50, 200, 500])
    before = diffusion.loss(net, x0, t, noise).item()
    net.load_state_dict(weights)
    assert diffusion.loss(net, x0, t, noise).item() < 0.8 * before
    assert [iteration for iteration, _, _ in reports] == [100, 120]
    assert record["final_loss"] == reports[-1][1]
    json.dumps(record)
    assert record["config"]["iterations"] == 120


def test_training_follows_the_seed() -> None:
    first, again = (trained(Objective(), iterations=6)[1] for _ in range(2))
    other = trained(Objective(), iterations=6, seed=1)[1]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_bfloat16_keeps_float32_weights() -> None:
    net, weights, record, _ = trained(Objective("eps", "learned_range"), iterations=3, bf16=True)
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert {value.dtype for value in net.parameters()} == {torch.float32}
    assert np.isfinite(record["final_loss"])


def test_training_stops_when_the_loss_is_not_finite() -> None:
    with pytest.raises(ConfigError, match=r"became (nan|inf) at iteration \d+; lower --learning-rate"):
        trained(Objective("eps"), iterations=50, learning_rate=1e30, warm_up=1)


class Silent(nn.Module):
    """Predicts no noise at all, so that the estimate is the noisy image."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_psnr_of_the_noisy_image_is_that_of_its_noise(sigma: float) -> None:
    found = denoising_psnr(Silent(), Diffusion(SCHEDULE, Objective("eps")), SCHEDULE, clean_planes(), sigma)
    level = SCHEDULE.noise_levels[round(SCHEDULE.timestep_of_noise(sigma))]
    assert level == pytest.approx(sigma, rel=0.05)
    assert found == pytest.approx(-20 * np.log10(level / 2), abs=0.05)
