"""Spectral steps: the filter, and what it shares with the posterior mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve

from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.samplers._spectral import BLOCK, REACH, filtered, levels, response
from baikal_deploy.diffusion.samplers.matched import STEPS
from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.models.manifest import ModelManifest

SCHEDULE = ScheduleSpec().build()
PREDICT = TiledPredictor(
    Analytic(ModelManifest("gaussian", ScheduleSpec(), "fixed_small", Normalisation(), 8))
)
LEVEL = 0.4
T_STAR = SCHEDULE.timestep_of_noise(LEVEL)
Y = np.random.default_rng(1).normal(0, 0.7, (2, 1, 96, 80)).astype(np.float32)
LAG = np.arange(-12, 13)
BLOB = np.exp(-(LAG[:, None] ** 2 + LAG**2) / 4).round(4)
BLOBS = Spectrum(LEVEL**2, tuple(map(tuple, BLOB.tolist())))
WHITE = Spectrum(LEVEL**2, ((0.0,) * 3, (0.0, 1.0, 0.0), (0.0,) * 3))
LINES = Spectrum(LEVEL**2, WHITE.kernel, rows=0.1, columns=0.05)


def sampled(y: np.ndarray, spectrum: Spectrum | None, name: str = "matched", **options: object) -> np.ndarray:
    sampler = make_sampler(name, options, {}).resolved(T_STAR, 1000, "fixed_small", spectrum)
    return sampler.sample(PREDICT.predict, y, SCHEDULE, lambda visit, draw: y)


@pytest.mark.parametrize("steps", [2, 5])
def test_white_noise_takes_one_evaluation_and_gives_the_posterior_mean(steps: int) -> None:
    sampler = make_sampler("matched", {"evaluations": steps}, {}).resolved(T_STAR, 1000, "fixed_small", WHITE)
    assert sampler.nfe(SCHEDULE) == 1
    np.testing.assert_array_equal(sampled(Y, WHITE, evaluations=steps), sampled(Y, None))


def test_levels_fall_in_equal_ratios() -> None:
    start = 2.0
    found = levels(BLOBS, start, 4)
    assert found[0] == start
    np.testing.assert_allclose(np.diff(np.log(found)), np.log(found[1] / found[0]))
    assert found[-1] == pytest.approx(0.15 * LEVEL, rel=0.01)  # blobs have next to no high frequencies
    assert levels(BLOBS, 0.01, 4) == [0.01]


@pytest.mark.parametrize("spectrum", [BLOBS, LINES])
def test_the_filter_leaves_noise_of_its_level(spectrum: Spectrum) -> None:
    """Of every strong frequency, and all of the weak ones."""
    level = 0.5
    kernel = response(spectrum, level)
    grid = np.zeros((256, 256))
    near = np.arange(len(kernel)) - len(kernel) // 2
    grid[np.ix_(near, near)] = kernel
    share, std = np.fft.fft2(grid).real, np.sqrt(spectrum.power())
    off = share - np.minimum(1, level / np.maximum(std, level))
    assert np.abs(off).max() < 0.12
    assert np.sqrt(np.square(off).mean()) < 0.015


def test_filtering_is_convolution() -> None:
    kernel = response(BLOBS, 0.5)
    expected = np.stack([convolve(plane[0], kernel, mode="mirror") for plane in Y])[:, None]
    np.testing.assert_allclose(filtered(Y, kernel), expected, atol=1e-5)


def test_blocks_leave_no_trace() -> None:
    wide = np.random.default_rng(2).standard_normal((1, 1, 70, BLOCK + 200)).astype(np.float32)
    kernel = response(BLOBS, 0.5)
    whole = filtered(wide, kernel)
    part = filtered(wide[..., BLOCK - 100 :], kernel)
    np.testing.assert_allclose(whole[..., BLOCK - 100 + REACH :], part[..., REACH:], atol=1e-5)


@pytest.mark.parametrize("spectrum", [BLOBS, LINES])
def test_a_region_with_its_halo_is_the_whole(spectrum: Spectrum) -> None:
    planes = np.random.default_rng(3).normal(0, 0.7, (1, 1, 400, 300)).astype(np.float32)
    halo = make_sampler("matched", {}, {}).resolved(T_STAR, 1000, "fixed_small", spectrum).halo
    whole = sampled(planes, spectrum)
    part = sampled(planes[..., 150 - halo :, :], spectrum)
    np.testing.assert_allclose(part[..., halo:, :], whole[..., 150:, :], atol=1e-5)


@pytest.mark.parametrize("spectrum", [BLOBS, LINES])
def test_turned_planes_are_filtered_by_the_turned_filter(spectrum: Spectrum) -> None:
    """A pixelwise engine sees no symmetry, and the filter is no more symmetric than the noise."""
    once = sampled(Y, spectrum)
    for symmetries in (2, 4, 8):
        np.testing.assert_allclose(sampled(Y, spectrum, symmetries=symmetries), once, atol=1e-5)


@pytest.mark.parametrize(
    ("budget", "steps", "symmetries"), [("preview", 1, 1), ("balanced", 2, 1), ("best", 2, 4), ("16", 2, 8)]
)
def test_auto_takes_steps_before_symmetries(budget: str, steps: int, symmetries: int) -> None:
    sampler = make_sampler("auto", {"budget": budget}, {}).resolved(T_STAR, 1000, "fixed_small", BLOBS)
    assert sampler.options["evaluations"] == steps
    assert sampler.options["symmetries"] == symmetries
    assert sampler.nfe(SCHEDULE) == steps * symmetries


def test_matched_takes_two_steps_unless_told_otherwise() -> None:
    request = make_sampler("matched", {}, {})
    assert request.resolved(T_STAR, 1000, "fixed_small", BLOBS).nfe(SCHEDULE) == STEPS
    assert request.resolved(T_STAR, 1000, "fixed_small").nfe(SCHEDULE) == 1
    assert "2 spectral steps" in request.resolved(T_STAR, 1000, "fixed_small", BLOBS).summary()
