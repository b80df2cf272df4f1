"""The training loop and its parts."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError
from baikal_training.config import TrainingConfig
from baikal_training.data import Augmentation, validation_crops
from baikal_training.distributed import World
from baikal_training.ema import Ema
from baikal_training.loop import Step, Trainer
from baikal_training.losses import Diffusion, Objective
from baikal_training.unet import UNet
from baikal_training.validation import SIGMAS, Validation
from tests.clean import clean_volumes
from tests.models import tiny_net

SCHEDULE = ScheduleSpec("linear", 1000).build()


def test_learning_rate_rises_linearly_and_falls_to_zero() -> None:
    config = TrainingConfig(iterations=1000, learning_rate=2e-3, warm_up=100)
    rates = np.array([config.learning_rate_at(i, config.progress(i, 0)) for i in range(1001)])
    assert rates[0] == pytest.approx(2e-3 / 100)
    assert rates[49] == pytest.approx(1e-3, rel=0.01)
    assert rates.argmax() == 99
    assert rates.max() == pytest.approx(2e-3, rel=0.03)
    assert (np.diff(rates[100:]) < 0).all()
    assert rates[500] == pytest.approx(1e-3)
    assert rates[1000] == pytest.approx(0, abs=1e-15)


def test_minutes_take_the_place_of_iterations() -> None:
    config = TrainingConfig(iterations=None, minutes=2)
    assert [config.progress(10**6, seconds) for seconds in (0, 30, 120, 500)] == [0, 0.25, 1, 1]


def test_ema_against_the_formula() -> None:
    net = nn.Linear(3, 2)
    ema = Ema(net, 0.6)
    expected = net.weight.detach().clone()
    for update in range(1, 21):
        with torch.no_grad():
            net.weight += update
        ema.update()
        decay = min(0.6, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * net.weight.detach()
        torch.testing.assert_close(ema.weights["weight"], expected)
    assert not torch.equal(ema.weights["weight"], net.weight)


@pytest.mark.parametrize("values", [{"iterations": 0}, {"batch": 0}, {"crop": -4}, {"accumulate": 0}])
def test_counts_below_one_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        TrainingConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        {"seed": -1},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"warm_up": 0},
        {"ema": 1.0},
        {"minutes": 3.0},
        {"iterations": None},
        {"iterations": None, "minutes": 0.0},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TrainingConfig(**values)


def test_batch_must_be_divisible() -> None:
    assert TrainingConfig(batch=16, accumulate=2).check_processes(4) == 2
    with pytest.raises(ConfigError, match="--batch 16: must be a multiple of 6"):
        TrainingConfig(batch=16, accumulate=2).check_processes(3)


def trainer(objective: Objective | None = None, **values: Any) -> Trainer:
    objective = objective or Objective()
    config = TrainingConfig(
        **{"batch": 4, "crop": 16, "warm_up": 5, "ema": 0.9, "learning_rate": 5e-3, **values}
    )
    torch.manual_seed(config.seed)
    net = UNet(tiny_net(objective.out_channels).config)
    return Trainer(net, Diffusion(SCHEDULE, objective), SCHEDULE, config, World())


def run(trainer: Trainer) -> list[Step]:
    return list(trainer.steps(clean_volumes(), Augmentation(), workers=0))


@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
def test_training_lowers_the_loss(variance: Any) -> None:
    trained = trainer(Objective("velocity", variance), iterations=250)
    x0 = validation_crops(clean_volumes(), 64, 3)
    noise, t = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)), torch.tensor([50, 200, 500])
    before = trained.diffusion.loss(trained.net, x0, t, noise).item()
    steps = run(trained)
    assert [step.iteration for step in steps] == list(range(1, 251))
    assert [step.is_last for step in steps] == [False] * 249 + [True]
    assert trained.diffusion.loss(trained.net, x0, t, noise).item() < 0.8 * before


def losses_of(**values: Any) -> list[float]:
    return [step.loss for step in run(trainer(**values))]


def test_training_follows_the_seed() -> None:
    assert losses_of(iterations=6) == losses_of(iterations=6)
    assert losses_of(iterations=6) != losses_of(iterations=6, seed=1)


def test_accumulation_changes_nothing_but_rounding() -> None:
    np.testing.assert_allclose(losses_of(iterations=8, accumulate=4), losses_of(iterations=8), rtol=1e-5)


def test_restored_state_goes_on_bit_for_bit() -> None:
    whole = trainer(iterations=20)
    expected = run(whole)
    half = trainer(iterations=20)
    begun = list(itertools.islice(half.steps(clean_volumes(), Augmentation(), 0), 12))
    state, ema = half.state(), {k: v.clone() for k, v in half.ema.weights.items()}
    rest = trainer(iterations=20)
    rest.restore(state, ema)
    continued = begun + run(rest)
    assert [s.loss for s in continued] == [s.loss for s in expected]
    assert [s.learning_rate for s in continued] == [s.learning_rate for s in expected]
    assert all(torch.equal(rest.ema.weights[name], value) for name, value in whole.ema.weights.items())


def test_time_budget_ends_the_training_with_the_rate_near_zero() -> None:
    steps = run(trainer(iterations=None, minutes=0.05, warm_up=1))
    assert steps[-1].is_last
    assert 3 <= steps[-1].seconds < 6
    assert steps[-1].learning_rate < 0.05 * 5e-3 < steps[len(steps) // 3].learning_rate


def test_time_budget_in_cpu_time_is_not_spent_by_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)  # the wall clock stands still
    began = time.process_time()
    steps = run(trainer(iterations=None, minutes=0.02, clock="cpu", warm_up=1))
    assert steps[-1].is_last
    assert 1.2 <= steps[-1].seconds <= time.process_time() - began


def test_bfloat16_keeps_float32_weights() -> None:
    trained = trainer(Objective("eps", "learned_range"), iterations=3, bf16=True)
    assert np.isfinite([step.loss for step in run(trained)]).all()
    assert {value.dtype for value in trained.ema.weights.values()} == {torch.float32}
    assert {value.dtype for value in trained.net.parameters()} == {torch.float32}


def test_divergence_stops_before_it_spoils_the_weights() -> None:
    trained = trainer(Objective("eps"), iterations=50, learning_rate=1e30, warm_up=1)
    with pytest.raises(ConfigError, match=r"loss became .* at iteration \d+; lower --learning-rate"):
        run(trained)
    assert trained.iteration > 0
    assert all(value.isfinite().all() for value in trained.net.parameters())


class Silent(nn.Module):
    """Predicts no noise at all, so that the estimate is the noisy image."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_psnr_of_the_noisy_image_is_that_of_its_noise() -> None:
    validation = Validation(Diffusion(SCHEDULE, Objective("eps")), SCHEDULE, torch.zeros(64, 1, 32, 32))
    levels = [SCHEDULE.noise_levels[round(SCHEDULE.timestep_of_noise(sigma))] for sigma in SIGMAS]
    np.testing.assert_allclose(levels, SIGMAS, rtol=0.05)
    found = list(validation.psnr(Silent()).values())
    np.testing.assert_allclose(found, -20 * np.log10(np.array(levels) / 2), atol=0.05)
    assert validation.loss(Silent()) == pytest.approx(1, abs=0.02)


def test_panel_shows_clean_noisy_and_two_estimates() -> None:
    clean = torch.zeros(5, 1, 32, 48)
    clean[..., :24] = 0.5
    panel = Validation(Diffusion(SCHEDULE, Objective("eps")), SCHEDULE, clean).panel(Silent())
    assert panel.shape == (4 * 32, 4 * 48)
    assert set(np.unique(panel[:32])) == {127, 191}
    noisy = panel[32:64, 30:48].astype(float)
    assert noisy.std() == pytest.approx(0.5 * 127.5, rel=0.15)
    np.testing.assert_allclose(
        panel[64:96].astype(int), panel[32:64].astype(int), atol=3
    )  # the level's timestep is rounded
