"""Maps of trust, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from baikal_deploy import Denoiser
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.guard import contradictions
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.denoising.trust import PROBES, Maps, mean_and_std, relative_std
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.pixels.counts import CHANCE
from baikal_training.simulate import simulate

SHAPE = (1, 1, 64, 96)
WHOLE = Crop.uncut(SHAPE[2:])


def signs() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sign(rng.standard_normal(SHAPE)).astype(np.float32) for _ in range(PROBES)]


@pytest.mark.parametrize("shrink", [0.0, 0.2, 0.9])
def test_the_spread_of_a_linear_denoiser_is_the_root_of_its_slope(shrink: float) -> None:
    y = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)

    def denoise(planes: np.ndarray) -> np.ndarray:
        return np.float32(shrink) * planes

    found = relative_std(denoise, y, denoise(y), Spectrum.white(0.5), signs(), WHOLE)
    np.testing.assert_allclose(found, np.sqrt(0.9 * shrink + 0.002), rtol=1e-3)


def test_the_spread_follows_where_the_slope_changes() -> None:
    y = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    slope = np.linspace(0.1, 0.9, SHAPE[-1], dtype=np.float32)
    found = relative_std(lambda planes: slope * planes, y, slope * y, Spectrum.white(0.5), signs(), WHOLE)
    np.testing.assert_allclose(
        found[0, 0, 8:-8, 8:-8], np.sqrt(0.9 * slope[8:-8] + 0.002)[None].repeat(48, 0), rtol=0.02
    )


def test_white_noise_hardly_ever_leaves_the_band() -> None:
    noise = np.random.default_rng(2).standard_normal((8, 1, 256, 256)).astype(np.float32)
    assert contradictions(noise, np.zeros_like(noise), Spectrum.white(1)).pixels().mean() < CHANCE


def test_what_was_removed_or_invented_does() -> None:
    """A nucleus that a result lacks, and one that only the result has, under half as strong noise."""
    clean = simulate("nuclei", (1, 1, 256, 256), 4)[0, 0]
    noise = 0.5 * np.random.default_rng(3).standard_normal(clean.shape)
    bright = clean > 0.6 * clean.max()
    for sign in (1, -1):
        y, x0 = (noise + (sign > 0) * clean), (sign < 0) * clean
        assert suspect(y, x0)[bright].mean() > 0.9
    assert suspect(noise, np.zeros_like(clean)).mean() < 1e-3
    assert suspect(noise + clean, clean).mean() < 1e-3


def suspect(y: np.ndarray, x0: np.ndarray, spectrum: Spectrum | None = None) -> np.ndarray:
    planes = (plane.astype(np.float32)[None, None] for plane in (y, x0))
    return contradictions(*planes, spectrum or Spectrum.white(0.5)).pixels()[0]


BLOB = np.exp(-(np.arange(-6, 7)[:, None] ** 2 + np.arange(-6, 7) ** 2) / 4)
BLOBS = Spectrum(0.25, tuple(map(tuple, BLOB.tolist())))


def test_correlated_noise_hardly_ever_leaves_its_own_band() -> None:
    noise = gaussian_filter(np.random.default_rng(2).standard_normal((512, 512)), 1, mode="wrap")
    noise *= 0.5 / noise.std()
    clean = simulate("nuclei", (1, 1, 512, 512), 4)[0, 0]
    assert suspect(noise + clean, clean, BLOBS).mean() < CHANCE
    assert suspect(noise + clean, clean).mean() > 0.01  # of white noise


def test_invented_detail_is_found_where_means_are_right() -> None:
    """A grid of lines drawn into the background, no stronger than the noise."""
    noise = gaussian_filter(np.random.default_rng(2).standard_normal((256, 256)), 1, mode="wrap")
    noise *= 0.5 / noise.std()
    lines = np.zeros((256, 256))
    lines[::12], lines[:, ::12] = 1, 1
    drawn = gaussian_filter(lines, 1)
    drawn *= 0.7 / drawn.max()
    drawn -= drawn.mean()
    assert suspect(noise, drawn, BLOBS).mean() > 0.9
    assert suspect(noise + drawn, drawn, BLOBS).mean() < 0.001


def test_planes_smaller_than_a_window() -> None:
    assert suspect(np.full((3, 40), 2.0), np.zeros((3, 40)), Spectrum.white(1)).all()


def test_mean_and_std_of_draws() -> None:
    draws = np.random.default_rng(4).normal(3, 2, (5, 2, 1, 8, 8)).astype(np.float32)
    mean, std = mean_and_std(draws)
    np.testing.assert_allclose(mean, draws.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std, draws.std(0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize("gain", [0.0, 0.2])
def test_the_spread_of_posterior_draws_is_the_posteriors(gain: float) -> None:
    """Gaussian data, whose posterior is known: std·σ/√(std² + σ²), where the noise is equalised."""
    rng, half, sigma = np.random.default_rng(5), 10.0, 0.4
    clean = rng.normal(-0.5, 0.5, (1, 64, 64))  # what the analytic engine knows
    intensity = IntensityMap(0, 2 * half)
    planes = ((clean + rng.normal(0, sigma, clean.shape) + 1) * half).astype(np.float32)
    variance = (sigma * half) ** 2
    noise = NoiseModel(gain * half, variance - gain * half * planes.mean(), variance / 10, sigma * half)
    with Denoiser.load(engine="analytic") as denoiser:
        sampler = make_sampler("posterior", {"runs": 24, "steps": "walk100"}, {})
        recipe = denoiser.recipe(sampler, Measurement(intensity, sigma * half, 0, noise), 0)
        found = denoiser.run(recipe, Stack(planes, range(1)), wanted=Wanted(planes.dtype, std=True))
    assert found.std is not None
    _, equaliser = Equaliser.equalised(planes, noise, intensity)
    level = equaliser.level
    expected = half * 0.5 * level / np.hypot(0.5, level) * equaliser.spread
    # The steps' variance is the least there can be ("fixed_small").
    np.testing.assert_allclose((found.std / expected).mean(), 0.93, rtol=0.04)
    assert gain == 0 or np.corrcoef(found.std.ravel(), expected.ravel())[0, 1] > 0.2
    assert 0.5 < np.std(found.planes / half - 1) / (0.5**2 / np.hypot(0.5, sigma)) < 1.5


@pytest.mark.parametrize(
    "maps", [Maps(std=np.zeros((2, 8, 9), np.float32)), Maps(suspect=np.zeros((8, 8), np.uint8))]
)
def test_maps_of_another_shape_are_refused(maps: Maps) -> None:
    with (
        Denoiser.load(engine="analytic") as denoiser,
        pytest.raises(ConfigError, match=r"make them with Maps\.of"),
    ):
        denoiser.denoise(np.zeros((2, 8, 8), np.float32), maps=maps)


def test_only_what_was_asked_for_is_made() -> None:
    maps = Maps.of((2, 3, 4), std=True, suspect=False)
    assert maps.std is not None
    assert maps.std.shape == (2, 3, 4)
    assert maps.suspect is None
