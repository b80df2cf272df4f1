"""Which timesteps, noise and crops a step gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kstest

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_training.data import Augmentation, CropDataset
from baikal_training.samples import SIGMAS, BatchPlan, SampleDataset, TimestepSampler
from tests.clean import clean_volumes

SCHEDULE = ScheduleSpec("linear", 1000).build()


def drawn(kind: Any, count: int = 40_000) -> NDArray[np.int64]:
    sampler, rng = TimestepSampler(SCHEDULE, kind), np.random.default_rng(0)
    return np.array([sampler(rng) for _ in range(count)])


def test_uniform_timesteps_are_uniform() -> None:
    t = drawn("uniform")
    assert (t.min(), t.max()) == (0, 999)
    assert kstest((t + 0.5) / 1000, "uniform").pvalue > 0.001


def test_denoising_timesteps_are_log_uniform_in_noise_but_for_a_tenth() -> None:
    t = drawn("denoising")
    assert (t.min(), t.max()) == (0, 999)
    low, high = np.log(SIGMAS)
    edges = np.array([100, 200, 300, 400, 500, 600, 700, 900])
    sigmas = np.log(np.interp(edges - 0.5, np.arange(1000), SCHEDULE.noise_levels))
    expected = 0.1 * edges / 1000 + 0.9 * np.clip((sigmas - low) / (high - low), 0, 1)
    np.testing.assert_allclose((t[:, None] < edges).mean(axis=0), expected, atol=0.012)


def dataset(seed: int = 0) -> SampleDataset:
    crops = CropDataset(clean_volumes(), 32, seed, Augmentation())
    return SampleDataset(crops, TimestepSampler(SCHEDULE, "denoising"), seed)


def test_sample_follows_from_the_seed_and_its_number() -> None:
    first, again, next_one, other = dataset()[5], dataset()[5], dataset()[6], dataset(1)[5]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for different in (next_one, other):
        assert not torch.equal(first[0], different[0])
        assert not torch.equal(first[2], different[2])


def test_noise_is_standard_normal_and_independent_of_the_crop() -> None:
    samples = [dataset()[i] for i in range(60)]
    noise = torch.stack([noise for _, _, noise in samples])
    assert kstest(noise.flatten().numpy(), "norm").pvalue > 0.001
    crops = torch.stack([crop - crop.mean() for crop, _, _ in samples])
    assert abs(float((crops * noise).mean())) < 0.02


def test_processes_and_parts_share_a_batch_without_overlap() -> None:
    """12 samples a step: the same ones whether 1 process takes them at once or 3 in 2 parts each."""
    whole = list(BatchPlan(2, 4, part=12, parts=1))
    shared = [list(BatchPlan(2, 4, part=2, parts=6, rank=rank, processes=3)) for rank in range(3)]
    assert whole == [list(range(24, 36)), list(range(36, 48))]
    for step in range(2):
        taken = [i for plan in shared for part in plan[2 * step : 2 * step + 2] for i in part]
        assert sorted(taken) == whole[step]


def test_plan_without_an_end_goes_on() -> None:
    plan = iter(BatchPlan(0, None, part=1, parts=1))
    assert [next(plan) for _ in range(1000)][-1] == [999]
