"""With the exact network for Gaussian data, what the samplers return has a distribution in closed form.

Every move is affine in x and y plus independent noise, so x = gain·y + shift + N(0, spread) all along.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from baikal_deploy.diffusion.random_field import NoiseField
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

MEAN, STD = 0.3, 0.06
"""Eleven standard deviations below 1, so that clipping never bites."""
SIDE = 256
K = 4
"""Standard errors by which a measured moment may miss; the seed is fixed, so that it never flickers."""
LEVELS = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
SPEC = ScheduleSpec("linear", 1000)
MANIFEST = ModelManifest("oracle", SPEC, "fixed_small", Normalisation(), 1)


@dataclass
class Moments:
    """x = gain·y + shift + N(0, spread)."""

    gain: float
    shift: float
    spread: float

    def mix(self, weight: float, level: float) -> None:
        """Mix in q(y, level) with noise of its own."""
        self.gain = (1 - weight) * self.gain + weight * math.sqrt(level)
        self.shift *= 1 - weight
        self.spread = (1 - weight) ** 2 * self.spread + weight**2 * (1 - level)

    def reverse(self, level: float, before: float, variance: str) -> None:
        """One reverse step whose x̂0 is E[x0 | x_t] of N(MEAN, STD²)."""
        beta = 1 - level / before
        slope = math.sqrt(level) * STD**2 / (level * STD**2 + 1 - level)
        offset = MEAN - slope * math.sqrt(level) * MEAN
        of_x0 = beta * math.sqrt(before) / (1 - level)
        factor = of_x0 * slope + (1 - before) * math.sqrt(1 - beta) / (1 - level)
        noise = beta * (1 - before) / (1 - level) if variance == "fixed_small" else beta
        self.gain, self.shift = factor * self.gain, factor * self.shift + of_x0 * offset
        self.spread = factor**2 * self.spread + (noise if before < 1 else 0)


def propagated(kept: list[int], start: int, stop: int, weight: float, variance: str) -> Moments:
    """The chain from the first kept timestep at or above start; constant weights, mixing after steps."""
    below = [t for t in kept if t < start]
    first = LEVELS[min(t for t in kept if t >= start)]
    x = Moments(math.sqrt(first), 0, 1 - first)
    for i in reversed(range(len(below))):
        level = LEVELS[below[i]]
        x.reverse(level, LEVELS[below[i - 1]] if i else 1.0, variance)
        if below[i] >= stop:
            x.mix(weight, level)
    return x


def sampled(name: str, options: dict[str, Any]) -> tuple[Planes, Planes, list[int]]:
    """(y, result, kept timesteps); y is noisy data, with more spread than the data."""
    y = np.float32(MEAN) + np.float32(0.1) * NoiseField(5, 0, (SIDE, SIDE))(0, 0)[None, None]
    sampler = make_sampler(name, options, {}).resolved(100.0, 1000, MANIFEST.variance)
    schedule = sampler.respace(SPEC.build())
    field = NoiseField(6, 0, (SIDE, SIDE))
    with Analytic(MANIFEST, MEAN, STD) as engine:
        result = sampler.sample(engine.predict, y, schedule, lambda v, d: field(v, d)[None, None])
    return y, result, schedule.timesteps.tolist()


def check(y: Planes, result: Planes, expected: Moments) -> None:
    y, result = y.astype(np.float64), result.astype(np.float64)
    rest = result - expected.gain * y - expected.shift
    error = math.sqrt(expected.spread / y.size)
    assert abs(rest.mean()) < K * error
    assert abs(rest.var() - expected.spread) < K * expected.spread * math.sqrt(2 / y.size)
    assert abs((rest * (y - y.mean())).mean()) < K * error * y.std()


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize(("steps", "start"), [("1000", 60), ("ddim50", 500), ("50", 100), ("walk10", 250)])
@pytest.mark.parametrize("clip", ["unit", "observed"])
def test_forward_backward(clip: str, steps: str, start: int, variance: str) -> None:
    options = {"start": start, "steps": steps, "variance": variance, "clip": clip}
    y, result, kept = sampled("forward-backward", options)
    check(y, result, propagated(kept, start, start, 0.0, variance))


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize(("steps", "start", "stop"), [("1000", 60, 20), ("ddim50", 500, 0)])
def test_mixing(steps: str, start: int, stop: int, variance: str) -> None:
    options = {"start": start, "stop": stop, "steps": steps, "variance": variance}
    y, result, kept = sampled("mixing", options | {"weights": "constant", "w_start": 0.2})
    check(y, result, propagated(kept, start, stop, 0.2, variance))


@pytest.mark.parametrize("start", [50, 200])
def test_many_small_steps_draw_from_the_posterior(start: int) -> None:
    """The walk is then x0 given x_start, whatever the schedule: Gaussian, by Bayes' rule. Its spread lies
    between those of the two fixed variances, which are right for data without and with unit variance
    (Ho et al. 2020, section 3.2). Mean and gain are right up to the finite steps, the first of
    which takes x_start to lie at start − 1.
    """
    level = LEVELS[start]
    slope = math.sqrt(level) * STD**2 / (level * STD**2 + 1 - level)
    spread = STD**2 * (1 - level) / (level * STD**2 + 1 - level) + slope**2 * (1 - level)
    spreads = []
    for variance in ("fixed_small", "fixed_large"):
        y, result, _ = sampled("forward-backward", {"start": start, "steps": "1000", "variance": variance})
        error = math.sqrt(spread / y.size)
        gain = np.cov(y.ravel(), result.ravel())[0, 1] / y.var()
        assert gain == pytest.approx(slope * math.sqrt(level), abs=0.02 * slope + K * error / y.std())
        assert result.mean() == pytest.approx(MEAN, abs=1e-3 + K * error)
        spreads.append((result - gain * y).var())
    assert 0.85 * spread < spreads[0] < spread < spreads[1] < 1.15 * spread
