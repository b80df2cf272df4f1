"""Measuring a noisy channel: percentiles of the image, not of its noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.channel import MAX_PASSES, measure
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.pixels.arrays import Plane

PERCENTILES = Normalisation()
SIGMA = 40.0


def blobs(shape: tuple[int, int] = (384, 384), seed: int = 0) -> np.ndarray:
    """Bright round nuclei on a dark background, about 100 … 300 counts."""
    points = (np.random.default_rng(seed).random(shape) < 0.002).astype(float)
    soft = gaussian_filter(points, 7) * 2 * np.pi * 7**2
    return 100 + 200 * np.minimum(soft, 1)


def noisy(clean: np.ndarray, seed: int = 1) -> np.ndarray:
    return clean + np.random.default_rng(seed).normal(0, SIGMA, clean.shape)


def smooth(x: Plane, sigma: float) -> Plane:
    return gaussian_filter(x, 2.5)


def distance(found: IntensityMap, true: IntensityMap) -> float:
    """Largest error of either end, as a fraction of the true range."""
    return max(abs(found.low - true.low), abs(found.high - true.high)) / (true.high - true.low)


def test_map_is_close_to_that_of_the_clean_image() -> None:
    clean = [blobs(seed=seed) for seed in range(2)]
    true = PERCENTILES.of(clean)
    planes = [noisy(plane, seed) for seed, plane in enumerate(clean)]
    found = measure(planes, PERCENTILES, smooth)
    assert distance(PERCENTILES.of(planes), true) > 0.25
    assert distance(found.intensity, true) < 0.1
    assert found.sigma == pytest.approx(SIGMA, rel=0.02)
    assert found.normalised_sigma == pytest.approx(
        found.sigma * 2 / (found.intensity.high - found.intensity.low)
    )


def test_perfect_estimate_gives_the_map_of_the_clean_image() -> None:
    """The denoiser here knows the noise in units of sigma, so it needs the right level to be right."""
    clean = blobs()
    noise = np.random.default_rng(1).normal(0, 1, clean.shape)
    found = measure([clean + SIGMA * noise], PERCENTILES, lambda x, sigma: x - np.float32(sigma) * noise)
    assert distance(found.intensity, PERCENTILES.of([clean])) < 0.02
    assert 2 <= found.passes < MAX_PASSES


def test_measuring_stops_when_the_percentiles_settle() -> None:
    calls: list[float] = []

    def constant_answer(x: Plane, sigma: float) -> Plane:
        calls.append(sigma)
        return smooth(x, sigma)

    found = measure([noisy(blobs())], PERCENTILES, constant_answer)
    assert found.passes == len(calls) < MAX_PASSES


def test_measuring_stops_when_the_percentiles_never_settle() -> None:
    found = measure([noisy(blobs())], PERCENTILES, lambda x, sigma: 2 * x)
    assert found.passes == MAX_PASSES


def test_estimate_gets_finite_float32_planes_of_any_shape() -> None:
    shapes = [(33, 50), (64, 31)]
    planes = [noisy(blobs(shape)).astype(np.float32) for shape in shapes]
    planes[0][:3, :3] = np.nan
    seen = []

    def estimate(x: Plane, sigma: float) -> Plane:
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
        assert sigma > 0
        seen.append(x.shape)
        return smooth(x, sigma)

    assert np.isfinite(measure(planes, PERCENTILES, estimate).intensity.high)
    assert seen[:2] == shapes


def test_integer_counts_measure_like_the_same_counts_as_floats() -> None:
    counts = noisy(blobs()).round().astype(np.uint16)
    assert measure([counts], PERCENTILES, smooth) == measure([counts.astype(np.float64)], PERCENTILES, smooth)


def never(x: Plane, sigma: float) -> Plane:
    raise AssertionError("there is nothing to estimate")


@pytest.mark.parametrize(
    ("plane", "value"),
    [(np.full((16, 16), 7, np.uint16), 7), (np.full((16, 16), np.nan), 0), (np.full((1, 1), 3.0), 3)],
    ids=["constant", "nan", "pixel"],
)
def test_planes_without_noise_or_range_are_constant(plane: np.ndarray, value: float) -> None:
    found = measure([plane, plane], PERCENTILES, never)
    assert found.intensity == IntensityMap(value, value)
    assert found.intensity.is_constant
    assert (found.sigma, found.passes) == (0, 0)


def test_noise_free_planes_keep_their_percentiles() -> None:
    ramp = np.add.outer(np.zeros(64), np.arange(64.0))  # Haar details of a ramp vanish
    found = measure([ramp], PERCENTILES, never)
    assert found.sigma == 0
    assert distance(found.intensity, PERCENTILES.of([ramp])) < 0.05


def test_no_planes_are_constant() -> None:
    assert measure([], PERCENTILES, never).intensity.is_constant


def test_planes_without_pixels_are_constant() -> None:
    assert measure([np.zeros((0, 5))], PERCENTILES, never).intensity.is_constant
