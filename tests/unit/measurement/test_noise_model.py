"""The fit of signal-dependent noise on known cameras, and what must not disturb it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from baikal_deploy.measurement.noise_model import NoiseModel, fit_noise, noise_bins
from baikal_deploy.measurement.surroundings import base
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

CLEAN = simulate_nuclei((4, 256, 256), seed=3)


def exposed(camera: Camera, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noisy planes, and the same without noise."""
    noisy, true = camera.expose(CLEAN, seed), camera.expected(CLEAN)
    return list(noisy.astype(np.float64)), list(true.astype(np.float64))


@pytest.mark.parametrize(
    "camera",
    [
        Camera(photons=10, gain=40, read_noise=40),
        Camera(photons=100, gain=10, read_noise=20),
        Camera(photons=30, gain=20, read_noise=5, offset=1000),
    ],
)
def test_gain_and_variance_are_those_of_the_camera(camera: Camera) -> None:
    noise = fit_noise(*exposed(camera))
    assert noise.gain == pytest.approx(camera.gain, rel=0.1)
    for intensity in np.percentile(camera.expected(CLEAN), [5, 50, 99]):
        true = np.hypot(camera.read_noise, np.sqrt(camera.gain * (intensity - camera.offset)))
        assert noise.std(np.asarray(intensity)) == pytest.approx(true, rel=0.06)
    assert noise.correlation == noise.raised == 1


@pytest.mark.parametrize("photons", [1, 3])
def test_single_photons_are_no_outliers(photons: int) -> None:
    """In the dark, where most pixels count none, one photon is far more than CLIP standard deviations."""
    expected = photons * (0.02 + 0.98 * CLEAN)
    counted = np.random.default_rng(4).poisson(expected).astype(np.float64)
    noise = fit_noise(list(counted), list(expected))
    assert noise.gain == pytest.approx(1, rel=0.1)


def test_noise_that_the_signal_does_not_change_is_uniform() -> None:
    planes = [plane * 1000 + np.random.default_rng(1).normal(0, 50, plane.shape) for plane in CLEAN]
    noise = fit_noise(planes, [plane * 1000 for plane in CLEAN])
    assert noise.gain == 0
    assert noise.level == pytest.approx(50, rel=0.02)
    assert noise.std(np.asarray(700.0)) == noise.level


def test_hot_pixels_and_saturation_change_little() -> None:
    camera = Camera(photons=30, gain=20, read_noise=20)
    noisy, true = exposed(camera)
    undisturbed = fit_noise(noisy, true)
    rng = np.random.default_rng(5)
    for plane in noisy:
        plane[rng.random(plane.shape) < 0.002] = 5000.0
    hot = fit_noise(noisy, true)
    assert hot.gain == pytest.approx(undisturbed.gain, rel=0.1)
    limit = 600.0  # where the brightest nuclei end
    saturated = fit_noise([np.minimum(plane, limit) for plane in exposed(camera)[0]], true)
    assert saturated.gain == pytest.approx(undisturbed.gain, rel=0.15)


def test_binned_images_have_a_quarter_of_the_variance() -> None:
    camera = Camera(photons=5, gain=20, read_noise=20)
    noisy, true = (
        [plane.reshape(128, 2, 128, 2).mean(axis=(1, 3)) for plane in planes] for planes in exposed(camera)
    )
    assert fit_noise(noisy, true).gain == pytest.approx(camera.gain / 4, rel=0.1)


@pytest.mark.parametrize(
    "plane", [np.zeros((64, 64)), np.full((64, 64), 7.0), np.zeros((1, 40)), np.zeros((2, 2))]
)
def test_planes_without_noise_or_without_blocks(plane: np.ndarray) -> None:
    assert fit_noise([plane], [plane]) == NoiseModel.uniform(0.0)
    assert np.isfinite(noise_bins([plane], [plane])).all()


def test_few_grey_levels() -> None:
    """One count in the dark is the noise of rounding; its floor keeps the scale within bounds."""
    rng = np.random.default_rng(2)
    planes = [np.minimum(rng.poisson(3 * plane).astype(np.float64), 7) for plane in CLEAN]
    noise = fit_noise(planes, [3.0 * plane for plane in CLEAN])
    assert noise.gain == pytest.approx(1, rel=0.15)
    assert noise.std(np.asarray(-1.0)) > 0


def test_interpolation_lowers_what_is_found() -> None:
    """Told apart by correlation.py; here only: no nonsense."""
    noisy, true = exposed(Camera())
    small = [zoom(plane[:128, :128], 2, order=1) for plane in noisy]
    assert (
        fit_noise(small, [zoom(plane[:128, :128], 2, order=1) for plane in true]).level
        < fit_noise(noisy, true).level
    )


def test_the_surroundings_of_a_pixel_hold_its_mean() -> None:
    assert base(np.full((9, 30), 5.0)) == pytest.approx(5.0)


@pytest.mark.parametrize("shape", [(64, 96), (61, 97)])
def test_the_surroundings_are_a_gaussian_blur(shape: tuple[int, int]) -> None:
    """Of what a microscope resolves."""
    plane = gaussian_filter(np.random.default_rng(1).random(shape), 1.5).astype(np.float32)
    found, expected = base(plane), gaussian_filter(plane, 4.0)
    assert found.dtype == np.float32
    inside = (slice(12, -12), slice(12, -12))
    error = (found - expected)[inside] / plane.std()
    assert np.abs(error).max() < 0.08  # cells are coarse
    assert np.sqrt(np.mean(error**2)) < 0.03


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2)])
def test_the_surroundings_in_planes_smaller_than_the_blur(shape: tuple[int, int]) -> None:
    plane = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    found = base(plane)
    assert found.shape == shape
    assert plane.min() <= found.min() <= found.max() <= plane.max()
