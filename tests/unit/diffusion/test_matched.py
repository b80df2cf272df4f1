"""Matched and posterior sampling against the exact posterior of Gaussian data."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.diffusion.random_field import noise_source
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.samplers.auto import Auto
from baikal_deploy.diffusion.samplers.matched import Matched, ResolvedMatched, _turned, _turned_back
from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

SPEC = ScheduleSpec()
SCHEDULE = SPEC.build()
ENGINE = Analytic(ModelManifest("gaussian", SPEC, "fixed_small", Normalisation(), 1))
LEVEL = 0.7
T_STAR = SCHEDULE.timestep_of_noise(LEVEL)
Y = np.random.default_rng(0).normal(0, 1, (2, 1, 24, 40)).astype(np.float32)


def sampled(name: str, t_star: float = T_STAR, **options: object) -> Planes:
    sampler = make_sampler(name, options, {}).resolved(t_star, 1000, "fixed_small")
    noise = noise_source(0, range(len(Y)), Y.shape[2:], like=Y)
    return sampler.sample(ENGINE.predict, Y, sampler.respace(SCHEDULE), noise)


def test_one_evaluation_is_the_posterior_mean() -> None:
    """The engine knows x_0 ~ N(m, s²): E[x_0 | y] = m + s²/(s² + σ²)·(y − m), and it is linear in y."""
    zero = np.zeros((1, 1, 1, 1), dtype=np.float32)

    def mean(y: float) -> float:
        x = (zero + np.float32(y)) / np.sqrt(np.float32(1 + LEVEL**2))
        eps, _ = ENGINE.predict(x, T_STAR)
        return float(y - LEVEL * eps[0, 0, 0, 0])

    shrink = mean(1.0) - mean(0.0)
    assert 0 < shrink < 1
    np.testing.assert_allclose(sampled("matched"), mean(0.0) + shrink * Y, atol=1e-4)


def test_a_pixelwise_engine_sees_no_symmetry() -> None:
    once = sampled("matched")
    for symmetries in (2, 4, 8):
        np.testing.assert_allclose(sampled("matched", symmetries=symmetries), once, atol=1e-6)


@pytest.mark.parametrize("symmetry", range(8))
def test_symmetries_are_undone_and_all_differ(symmetry: int) -> None:
    np.testing.assert_array_equal(_turned_back(_turned(Y, symmetry), symmetry), Y)
    square = Y[..., :24]
    others = [_turned(square, other) for other in range(8) if other != symmetry]
    assert not any(np.array_equal(_turned(square, symmetry), other) for other in others)


def test_the_network_is_asked_at_the_planes_own_level() -> None:
    asked: list[tuple[float, float]] = []

    def predict(x: Planes, t: float) -> tuple[Planes, None]:
        asked.append((t, float(x[0, 0, 0, 0] / Y[0, 0, 0, 0])))
        return np.zeros_like(x), None

    ResolvedMatched(Matched(), T_STAR).sample(predict, Y, SCHEDULE, lambda visit, draw: Y)
    assert asked == [(pytest.approx(T_STAR), pytest.approx(1 / np.sqrt(1 + LEVEL**2), rel=1e-6))]
    assert T_STAR % 1  # fractional


def test_steps_take_off_equal_parts_of_the_noise() -> None:
    levels: list[float] = []

    def predict(x: Planes, t: float) -> tuple[Planes, None]:
        levels.append(SCHEDULE.noise_of_timestep(t))
        return np.zeros_like(x), None

    ResolvedMatched(Matched(), T_STAR, evaluations=4).sample(predict, Y, SCHEDULE, lambda visit, draw: Y)
    np.testing.assert_allclose(levels, LEVEL * np.array([1, 0.75, 0.5, 0.25]), rtol=1e-6)


def test_posterior_draws_have_the_posterior_mean_and_spread() -> None:
    draws = (
        np.stack([sampled("posterior", steps="1000", runs=1)]),
        sampled("posterior", steps="1000", runs=64),
    )
    assert np.std(draws[0][0] - sampled("matched")) > 0.1
    np.testing.assert_allclose(draws[1], sampled("matched"), atol=0.35)


@pytest.mark.parametrize(
    ("budget", "symmetries"), [("preview", 1), ("balanced", 2), ("best", 8), ("1", 1), ("7.5", 4), ("100", 8)]
)
def test_budgets(budget: str, symmetries: int) -> None:
    sampler = Auto(budget=budget).resolved(T_STAR, 1000, "fixed_small")
    assert (sampler.request.symmetries, sampler.evaluations, sampler.start) == (symmetries, 1, T_STAR)
    assert sampler.nfe(SCHEDULE) == symmetries


def test_beyond_the_schedule_the_strongest_level_stands() -> None:
    strongest = SCHEDULE.timestep_of_noise(1e6)
    assert strongest == 999
    assert np.isfinite(sampled("matched", t_star=strongest)).all()


def test_options_may_be_text() -> None:
    sampler = make_sampler("matched", {"symmetries": "4", "evaluations": "2", "start": "20.5"}, {})
    assert sampler == Matched(symmetries=4, evaluations=2, start=20.5)
