"""The samplers against a straight-line transcription of their algorithms, with the same noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from baikal_deploy.diffusion.samplers import make_sampler, sampler_class
from baikal_deploy.diffusion.samplers.base import Resolved
from baikal_deploy.diffusion.schedule import NoiseSchedule, ScheduleSpec
from baikal_deploy.pixels.arrays import Planes

from . import transcription
from .transcription import Array, Case, Parameters

FULL = ScheduleSpec("linear", 1000).build()
RNG = np.random.default_rng(11)
SHAPE = (2, 1, 5, 7)
Y = RNG.normal(0.3, 1.3, SHAPE).astype(np.float32)
"""Reaches well beyond every clipping range."""
GUIDE = RNG.normal(0, 0.4, SHAPE).astype(np.float32)
STEPS = ["1000", "ddim50", "50", "walk10"]
VARIANCES = ["fixed_small", "fixed_large", "learned_range"]


def noise(visit: int, draw: int) -> Planes:
    return np.random.default_rng((visit, draw)).standard_normal(SHAPE, dtype=np.float32)


def network(x: Array, t: float) -> tuple[Array, Array]:
    return np.tanh(0.7 * x + t / 500), np.sin(x)


@dataclass
class Recorder:
    """A network and a noise source that remember what they were asked for."""

    learned: bool
    timesteps: list[float] = field(default_factory=list)
    draws: list[tuple[int, int]] = field(default_factory=list)

    def predict(self, x: Planes, t: float) -> tuple[Planes, Planes | None]:
        assert x.dtype == np.float32
        self.timesteps.append(t)
        eps, v = network(x.astype(np.float64), t)
        return eps.astype(np.float32), v.astype(np.float32) if self.learned else None

    def noise(self, visit: int, draw: int) -> Planes:
        self.draws.append((visit, draw))
        return noise(visit, draw)


def ours(name: str, p: Parameters) -> tuple[Resolved, NoiseSchedule]:
    """The sampler of the same parameters, which leaves out those that it does not have."""
    known = {f.name for f in fields(sampler_class(name))}
    request = make_sampler(name, {k: v for k, v in vars(p).items() if k in known}, {})
    sampler = request.resolved(500.0, 1000, "fixed_small")
    return sampler, sampler.respace(FULL)


def check(name: str, algorithm: Callable[[Case], Array], guided: bool = False, **options: Any) -> None:
    p = Parameters(**options)
    sampler, schedule = ours(name, p)
    recorder, asked = Recorder(p.variance == "learned_range"), []

    def recorded(x: Array, t: int) -> tuple[Array, Array]:
        asked.append(t)
        return network(x, t)

    result = sampler.sample(recorder.predict, Y, schedule, recorder.noise, GUIDE if guided else None)
    expected = algorithm(Case(p, recorded, Y.astype(float), (GUIDE if guided else Y).astype(float), noise))
    assert result.dtype == np.float32
    assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    assert recorder.timesteps == asked
    assert len(asked) == sampler.nfe(schedule)
    assert len(recorder.draws) == len(set(recorder.draws)), "every draw is fresh"


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("clip", ["unit", "observed"])
@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("steps", STEPS)
def test_forward_backward(steps: str, variance: str, clip: str, guided: bool) -> None:
    algorithm = transcription.forward_backward
    check("forward-backward", algorithm, guided, steps=steps, variance=variance, clip=clip, runs=2)


@pytest.mark.parametrize("start", [1, 2, 61, 979, 999])
@pytest.mark.parametrize("steps", ["1000", "50", "walk10"])
def test_forward_backward_starts(steps: str, start: int) -> None:
    check("forward-backward", transcription.forward_backward, steps=steps, start=start)


@pytest.mark.parametrize("mix", ["after", "before"])
@pytest.mark.parametrize("weights", ["constant", "linear", "cosine", "exponential"])
@pytest.mark.parametrize(("start", "stop"), [(100, 0), (100, 20), (100, 99), (100, 100), (61, 33), (1, 0)])
@pytest.mark.parametrize("steps", STEPS)
def test_mixing(steps: str, start: int, stop: int, weights: str, mix: str) -> None:
    check(
        "mixing",
        transcription.mixing,
        steps=steps,
        start=start,
        stop=stop,
        weights=weights,
        mix=mix,
        clip="observed",
    )


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize(("w_start", "w_end"), [(0.1, 0.1), (1.0, 0.0), (0.0, 0.5)])
def test_mixing_variances_and_guides(w_start: float, w_end: float, variance: str, guided: bool) -> None:
    options: dict[str, Any] = {"w_start": w_start, "w_end": w_end, "variance": variance, "runs": 3}
    check("mixing", transcription.mixing, guided, **options)


@pytest.mark.parametrize("renoise", [False, True])
@pytest.mark.parametrize("interval", [1, 5, 7, 60, None])
@pytest.mark.parametrize(("repeats", "final_repeats"), [(1, None), (3, None), (3, 1), (2, 4)])
@pytest.mark.parametrize("mix", ["after", "before"])
def test_repaint(
    mix: str, repeats: int, final_repeats: int | None, interval: int | None, renoise: bool
) -> None:
    options: dict[str, Any] = {
        "repeats": repeats,
        "final_repeats": final_repeats,
        "interval": interval,
        "renoise": renoise,
    }
    check("repaint", transcription.repaint, mix=mix, **options)


@pytest.mark.parametrize("renoise", [False, True])
@pytest.mark.parametrize("steps", ["ddim50", "50", "walk20"])
@pytest.mark.parametrize("weights", ["constant", "linear", "cosine", "exponential"])
def test_repaint_respaced(weights: str, steps: str, renoise: bool) -> None:
    options: dict[str, Any] = {
        "weights": weights,
        "steps": steps,
        "renoise": renoise,
        "start": 120,
        "stop": 50,
    }
    check("repaint", transcription.repaint, interval=3, final_repeats=1, **options)


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("clip", ["unit", "observed"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_repaint_variances_and_guides(variance: str, clip: str, guided: bool) -> None:
    """Weak mixing, so that where the walk began still shows in its end."""
    options: dict[str, Any] = {"variance": variance, "clip": clip, "runs": 2, "renoise": True}
    options |= {"start": 12, "stop": 4, "w_start": 0.02}
    check("repaint", transcription.repaint, guided, **options)
