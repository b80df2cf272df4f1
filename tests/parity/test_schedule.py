"""Schedule tables, respacing and one reverse step against independent float64 computations in torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from baikal_deploy.diffusion.samplers._moves import Walk
from baikal_deploy.diffusion.samplers.forward_backward import ForwardBackward
from baikal_deploy.diffusion.schedule import NoiseSchedule, ScheduleSpec, Variance, parse_respacing

TOLERANCE = 1e-6
VARIANCES: tuple[Variance, ...] = ("fixed_small", "fixed_large", "learned_range")
EXPLICIT = torch.sigmoid(torch.linspace(-6, 2, 40, dtype=torch.float64)) * 0.3
SPECS = {
    "linear": ScheduleSpec("linear", 1000),
    "linear-250": ScheduleSpec("linear", 250),
    "cosine": ScheduleSpec("cosine", 1000),
    "cosine-20": ScheduleSpec("cosine", 20),
    "explicit": ScheduleSpec("explicit", 40, tuple(EXPLICIT.tolist())),
}
RNG = np.random.default_rng(7)
SHAPE = (2, 1, 6, 5)
X, EPS, Z = (RNG.normal(size=SHAPE).astype(np.float32) for _ in range(3))
V = RNG.uniform(-1.5, 1.5, SHAPE).astype(np.float32)
"""Also beyond −1 … 1: v is not clamped."""


def torch_betas(name: str) -> torch.Tensor:
    kind, _, count = name.partition("-")
    total = int(count or 1000)
    if kind == "explicit":
        return EXPLICIT
    if kind == "linear":
        return torch.linspace(0.1 / total, 20 / total, total, dtype=torch.float64)
    t = torch.arange(total + 1, dtype=torch.float64) / total
    level = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.clamp(1 - level[1:] / level[:-1], max=0.999)


def torch_step(betas: torch.Tensor, i: int, variance: Variance, z: np.ndarray = Z) -> np.ndarray:
    """Ho et al. 2020, algorithm 2, through q(x_{t−1} | x_t, x_0), from a table of β alone."""
    x, eps, v, noise = (torch.from_numpy(a).double() for a in (X, EPS, V, z))
    level = torch.cumprod(1 - betas, 0)
    previous = level[i - 1] if i else torch.tensor(1.0, dtype=torch.float64)
    x0 = ((x - (1 - level[i]).sqrt() * eps) / level[i].sqrt()).clamp(-1, 1)
    # The posterior as the product of two Gaussians: x_t given x_{t−1}, and x_{t−1} given x_0.
    if i == 0:
        return x0.numpy()
    precision = (1 - betas[i]) / betas[i] + 1 / (1 - previous)
    mean = ((1 - betas[i]).sqrt() / betas[i] * x + previous.sqrt() / (1 - previous) * x0) / precision
    log = {
        "fixed_small": -precision.log(),
        "fixed_large": betas[i].log(),
        "learned_range": (v + 1) / 2 * betas[i].log() - (1 - v) / 2 * precision.log(),
    }[variance]
    return (mean + (log / 2).exp() * noise).numpy()


def our_step(schedule: NoiseSchedule, index: int, variance: Variance, z: np.ndarray = Z) -> np.ndarray:
    sampler = ForwardBackward(start=1, clip="unit").resolved(1.0, 1000, variance)
    v = V if variance == "learned_range" else None
    walk = Walk(sampler.stretch(schedule), lambda x, t: (EPS, v), X, X, lambda visit, draw: z, 0)
    return walk.reverse(X, index)


@pytest.mark.parametrize("name", SPECS)
def test_tables(name: str) -> None:
    schedule, betas = SPECS[name].build(), torch_betas(name)
    level = torch.cumprod(1 - betas, 0)
    previous = torch.cat([torch.ones(1, dtype=torch.float64), level[:-1]])
    assert schedule.alphas_cumprod.dtype == np.float64
    assert_allclose(schedule.betas, betas, rtol=1e-12)
    assert_allclose(schedule.alphas_cumprod, level, rtol=1e-10)
    assert_allclose(schedule.alphas_cumprod_prev, previous, rtol=1e-10)
    assert_allclose(schedule.posterior_variance, betas * (1 - previous) / (1 - level), rtol=1e-9)
    assert_allclose(schedule.noise_levels, (1 / level - 1).sqrt(), rtol=1e-9)
    assert list(schedule.timesteps) == list(range(len(betas)))


def test_published_ends_of_the_linear_schedule() -> None:
    betas = ScheduleSpec("linear", 1000).build().betas
    assert betas[0] == pytest.approx(1e-4, rel=1e-12)
    assert betas[-1] == pytest.approx(0.02, rel=1e-12)


def test_cosine_betas_are_capped() -> None:
    assert ScheduleSpec("cosine", 1000).build().betas[-1] == 0.999


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("index", [0, 1, 2, 10, -2, -1])
def test_one_reverse_step(name: str, variance: Variance, index: int) -> None:
    schedule = SPECS[name].build()
    index %= len(schedule)
    expected = torch_step(torch_betas(name), index, variance)
    assert_allclose(our_step(schedule, index, variance), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("variance", VARIANCES)
def test_log_variance_of_the_first_indices(name: str, variance: Variance) -> None:
    """β̃ of index 0 is 0; its log is that of index 1, and "fixed_large" borrows it too."""
    schedule, betas = SPECS[name].build(), torch_betas(name)
    small_1 = betas[1] * betas[0] / (1 - (1 - betas[0]) * (1 - betas[1]))
    fraction = (torch.from_numpy(V).double() + 1) / 2
    learned = [fraction * b.log() + (1 - fraction) * small_1.log() for b in betas[:2]]
    logs = {
        "fixed_small": [small_1.log()] * 2,
        "fixed_large": [small_1.log(), betas[1].log()],
        "learned_range": learned,
    }[variance]
    for index in (0, 1):
        expected = (logs[index] / 2).exp().numpy()
        assert_allclose(schedule.reverse_std(index, variance, V), expected, rtol=3e-6, atol=0)


@pytest.mark.parametrize("name", SPECS)
def test_forward_process(name: str) -> None:
    """q(x_t | x_0) is what t + 1 single steps with β add up to."""
    schedule, betas = SPECS[name].build(), torch_betas(name)
    gain, spread = 1.0, 0.0
    for index, beta in enumerate(betas.tolist()):
        gain, spread = gain * math.sqrt(1 - beta), spread * (1 - beta) + beta
        if index in (0, 1, 9, len(betas) - 1):
            expected = gain * X.astype(np.float64) + math.sqrt(spread) * Z
            assert_allclose(schedule.q_sample(X, index, Z), expected, rtol=TOLERANCE, atol=TOLERANCE)


def torch_spread(count: int, total: int) -> list[int]:
    """Section stride: accumulated in float64, rounded half to even."""
    strides = torch.full((count,), (total - 1) / max(count - 1, 1), dtype=torch.float64)
    strides[0] = 0
    return [int(i) for i in torch.cumsum(strides, 0).round()]


@pytest.mark.parametrize("total", [1000, 250, 11])
def test_section_respacing(total: int) -> None:
    for count in range(2, total + 1):
        kept = parse_respacing(str(count), total, start=5)
        assert kept == torch_spread(count, total)
        assert (len(set(kept)), kept[-1]) == (count, total - 1)


def test_section_respacing_rounds_half_to_even() -> None:
    assert parse_respacing("5", 11, start=5) == [0, 2, 5, 8, 10]
    assert parse_respacing("3", 10, start=5) == [0, 4, 9]


@pytest.mark.parametrize(
    ("count", "stride"),
    [(1000, 1), (500, 2), (334, 3), (250, 4), (50, 20), (30, 34), (20, 50), (10, 100), (2, 500)],
)
def test_ddim_respacing(count: int, stride: int) -> None:
    kept = parse_respacing(f"ddim{count}", 1000, start=5)
    assert kept == [stride * i for i in range(count)]


@pytest.mark.parametrize(("count", "start"), [(1, 100), (10, 100), (7, 250), (5, 3), (10, 999), (3, 1)])
def test_walk_respacing(count: int, start: int) -> None:
    kept = parse_respacing(f"walk{count}", 1000, start)
    assert kept == [*torch_spread(min(count, start), start), start]


def torch_respaced(name: str, kept: list[int]) -> torch.Tensor:
    level = torch.cumprod(1 - torch_betas(name), 0)[kept]
    return 1 - level / torch.cat([torch.ones(1, dtype=torch.float64), level[:-1]])


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("steps", ["1000", "50", "ddim50", "7", "walk10"])
@pytest.mark.parametrize("variance", VARIANCES)
def test_reverse_steps_of_a_respaced_schedule(name: str, steps: str, variance: Variance) -> None:
    kept = parse_respacing(steps, 1000, start=100)
    schedule, betas = SPECS[name].build().respace(kept), torch_respaced(name, kept)
    assert list(schedule.timesteps) == kept
    assert_allclose(schedule.betas, betas, rtol=1e-8)
    for index in (0, 1, len(kept) // 2, len(kept) - 1):
        expected = torch_step(betas, index, variance)
        assert_allclose(our_step(schedule, index, variance), expected, rtol=TOLERANCE, atol=TOLERANCE)
