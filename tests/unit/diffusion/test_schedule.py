"""Schedule specs, look-ups and respacing texts; the numbers are checked in tests/parity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from baikal_deploy.diffusion.schedule import NoiseSchedule, ScheduleSpec, parse_respacing
from baikal_deploy.errors import ConfigError

FULL = ScheduleSpec("linear", 1000).build()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "quadratic"}, "unknown kind 'quadratic'; choose linear, cosine, explicit"),
        ({"num_timesteps": 1}, "1 timesteps; at least 2"),
        ({"kind": "explicit"}, "betas go with kind 'explicit'"),
        ({"betas": (0.1, 0.2)}, "betas go with kind 'explicit'"),
        ({"kind": "explicit", "num_timesteps": 3, "betas": (0.1, 0.2)}, "2 betas for 3 timesteps"),
    ],
)
def test_refused_specs(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScheduleSpec(**arguments)


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_refused_betas(beta: float) -> None:
    with pytest.raises(ConfigError, match="strictly between 0 and 1"):
        ScheduleSpec("explicit", 2, (0.1, beta)).build()


def test_a_linear_schedule_too_short_for_its_formula() -> None:
    with pytest.raises(ConfigError, match="strictly between 0 and 1"):
        ScheduleSpec("linear", 20).build()


@pytest.mark.parametrize(
    "spec", [ScheduleSpec(), ScheduleSpec("cosine", 50), ScheduleSpec("explicit", 2, (0.1, 0.2))]
)
def test_specs_survive_storage(spec: ScheduleSpec) -> None:
    stored = spec.as_dict()
    assert ScheduleSpec.from_dict(stored) == spec
    assert ("betas" in stored) == (spec.kind == "explicit")


def test_tables_cannot_be_written() -> None:
    for table in (FULL.betas, FULL.timesteps, FULL.alphas_cumprod):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


def test_a_schedule_keeps_its_own_tables() -> None:
    betas = np.array([0.1, 0.2])
    schedule = NoiseSchedule(betas, np.arange(2))
    betas[0] = 0.9
    assert schedule.betas[0] == 0.1


@pytest.mark.parametrize("timestep", [0, 1, 100, 500, 999])
def test_timestep_of_its_own_noise_level(timestep: int) -> None:
    level = FULL.alphas_cumprod[timestep]
    sigma = float(np.sqrt((1 - level) / level))
    assert FULL.timestep_of_noise(sigma) == pytest.approx(timestep, abs=1e-6)


def test_timestep_between_two_noise_levels() -> None:
    sigma = float(FULL.noise_levels[100] + FULL.noise_levels[101]) / 2
    assert FULL.timestep_of_noise(sigma) == pytest.approx(100.5)


@pytest.mark.parametrize(("sigma", "timestep"), [(0.0, 0), (1e-6, 0), (1e6, 999)])
def test_timestep_of_noise_ends_with_the_schedule(sigma: float, timestep: int) -> None:
    assert FULL.timestep_of_noise(sigma) == timestep


def test_timestep_of_noise_is_an_original_one() -> None:
    respaced = FULL.respace([0, 100, 300])
    assert respaced.timestep_of_noise(float(FULL.noise_levels[100])) == pytest.approx(100)


@pytest.mark.parametrize(
    ("timestep", "index"), [(0, 0), (1, 1), (10, 1), (11, 2), (40, 2), (41, 3), (999, 3)]
)
def test_index_of(timestep: int, index: int) -> None:
    """The number of kept timesteps below: the place of a kept one, and of the next above any other."""
    assert FULL.respace([0, 10, 40]).index_of(timestep) == index


def test_index_of_is_the_identity_without_respacing() -> None:
    assert [FULL.index_of(t) for t in (0, 1, 500, 999)] == [0, 1, 500, 999]


def test_respacing_sorts_and_drops_repetitions() -> None:
    assert FULL.respace([7, 3, 7]).timesteps.tolist() == [3, 7]


def test_respacing_keeps_the_noise_levels() -> None:
    respaced = FULL.respace([3, 50, 999])
    np.testing.assert_allclose(respaced.alphas_cumprod, FULL.alphas_cumprod[[3, 50, 999]], rtol=1e-12)


def test_respacing_twice_is_respacing_once() -> None:
    twice = FULL.respace([0, 20, 50, 90]).respace([20, 90])
    np.testing.assert_allclose(twice.betas, FULL.respace([20, 90]).betas, rtol=1e-12)
    assert twice.timesteps.tolist() == [20, 90]


@pytest.mark.parametrize("timesteps", [[], [1000], [-1], [3, 1001]])
def test_refused_respacings(timesteps: list[int]) -> None:
    with pytest.raises(ConfigError, match="not all timesteps of this schedule"):
        FULL.respace(timesteps)


def test_learned_range_needs_a_variance_output() -> None:
    with pytest.raises(ConfigError, match="needs a model with a variance output"):
        FULL.reverse_std(5, "learned_range")


def test_a_schedule_of_one_step() -> None:
    respaced = FULL.respace([100])
    assert (len(respaced), respaced.alphas_cumprod_prev[0]) == (1, 1.0)
    assert np.isfinite(respaced.reverse_std(0, "fixed_small"))


@pytest.mark.parametrize(
    "text", ["", "0", "05", "-5", "5.0", "ddim", "ddim0", "walk", "walk0", "jump5", "5x", " 5", "DDIM5", "٣"]
)
def test_texts_that_are_no_respacing(text: str) -> None:
    with pytest.raises(ConfigError, match="give N, ddimN or walkN"):
        parse_respacing(text, 1000, 100)


@pytest.mark.parametrize("text", ["1001", "ddim1001", "walk1001"])
def test_more_steps_than_timesteps(text: str) -> None:
    with pytest.raises(ConfigError, match="only 1000 timesteps"):
        parse_respacing(text, 1000, 100)


def test_a_stride_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="no integer stride gives 999 of 1000"):
        parse_respacing("ddim999", 1000, 100)


def test_few_steps() -> None:
    assert parse_respacing("1", 1000, 100) == [0]
    assert parse_respacing("2", 1000, 100) == [0, 999]
    assert parse_respacing("walk1", 1000, 100) == [0, 100]
    assert parse_respacing("walk500", 1000, 3) == [0, 1, 2, 3]
