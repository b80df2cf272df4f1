"""The intensity mapping found from noisy data is as good as the true one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.sample import noise_std
from baikal_training.camera import add_noise
from baikal_training.simulate import simulate_nuclei


@pytest.fixture(scope="module")
def denoiser() -> Iterator[Denoiser]:
    with Denoiser.load("nuclei") as loaded:  # which knows what is simulated best
        yield loaded


@pytest.mark.parametrize(
    "psnr", [pytest.param(15, marks=pytest.mark.slow), 12, pytest.param(9, marks=pytest.mark.slow)]
)  # 20 s each
def test_the_result_is_within_half_a_decibel_of_the_true_mapping(denoiser: Denoiser, psnr: int) -> None:
    clean = simulate_nuclei((4, 256, 256), seed=21)
    noisy = add_noise(clean, psnr, seed=psnr)
    sampler = make_sampler("mixing", {}, denoiser.recommended("mixing"))
    measured = denoiser.measure(list(noisy), sampler)
    true = replace(measured, intensity=denoiser.manifest.normalisation.of(list(clean)))
    naive = replace(measured, intensity=denoiser.manifest.normalisation.of(list(noisy)))
    assert measured.sigma == pytest.approx(noise_std(list(noisy - clean)), rel=0.02)

    mse = {}
    for name, measurement in (("measured", measured), ("true", true), ("naive", naive)):
        recipe = denoiser.recipe(sampler, measurement, 0)
        result = denoiser.run(recipe, Stack(noisy, range(4))).planes
        mse[name] = np.mean((result - clean) ** 2)
    loss = {name: 10 * np.log10(mse[name] / mse["true"]) for name in mse}
    print(f"{psnr} dB: lost against the true mapping: {loss}")
    assert loss["measured"] < 0.5
    assert loss["naive"] > loss["measured"]
