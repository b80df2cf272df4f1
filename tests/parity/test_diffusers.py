"""One reverse step against diffusers' DDPMScheduler, where its conventions are the paper's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from baikal_deploy.diffusion.samplers._moves import Walk
from baikal_deploy.diffusion.samplers.forward_backward import ForwardBackward
from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance, parse_respacing

diffusers = pytest.importorskip("diffusers")

SPECS = {"linear": ScheduleSpec("linear"), "squaredcos_cap_v2": ScheduleSpec("cosine")}
SHAPE = (2, 1, 6, 5)


def scheduler(name: str, variance: Variance) -> Any:
    """Its tables are float32, and at small t (1 − ᾱ_0 is 1e-4) their errors would hide those looked for
    here; so its step is given ᾱ in float64."""
    made = diffusers.DDPMScheduler(
        beta_start=1e-4, beta_end=0.02, beta_schedule=name, variance_type=variance, clip_sample=True
    )
    made.alphas_cumprod = torch.cumprod(1 - torch.tensor(SPECS[name].build().betas), 0)
    return made


@pytest.mark.parametrize("name", SPECS)
def test_tables(name: str) -> None:
    ours, theirs = SPECS[name].build(), diffusers.DDPMScheduler(1000, 1e-4, 0.02, name)
    assert_allclose(ours.betas, theirs.betas, rtol=1e-5, atol=1e-7)
    assert_allclose(ours.alphas_cumprod, theirs.alphas_cumprod, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned_range"])
@pytest.mark.parametrize("steps", ["1000", "50", "ddim50", "walk10"])
def test_reverse_steps(name: str, variance: Variance, steps: str) -> None:
    kept = parse_respacing(steps, 1000, start=100)
    schedule, reference = SPECS[name].build().respace(kept), scheduler(name, variance)
    reference.set_timesteps(timesteps=kept[::-1])
    rng = np.random.default_rng(3)
    x, eps = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(2))
    v = rng.uniform(-1, 1, SHAPE).astype(np.float32) if variance == "learned_range" else None
    output = torch.from_numpy(eps if v is None else np.concatenate([eps, v], axis=1)).double()
    z = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = z.numpy().astype(np.float32)
    sampler = ForwardBackward(start=1, clip="unit").resolved(1.0, 1000, variance)
    stretch = sampler.stretch(schedule)
    for index in (0, 1, 2, len(kept) // 2, len(kept) - 1):
        walk = Walk(stretch, lambda x, t: (eps, v), x, x, lambda visit, draw: noise, 0)
        expected = reference.step(
            output, kept[index], torch.from_numpy(x).double(), generator=torch.Generator().manual_seed(1)
        ).prev_sample
        assert_allclose(walk.reverse(x, index), expected, rtol=1e-6, atol=1e-6)
