from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError
from baikal_training.camera import PSNR_RANGE, Camera, add_noise
from baikal_training.simulate import Volume, simulate_nuclei


@pytest.fixture(scope="module")
def clean() -> Volume:
    return simulate_nuclei((6, 96, 128), seed=3)


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@settings(max_examples=20, deadline=None)
@given(psnr=st.floats(-20, 80), seed=st.integers(0, 99))
def test_noise_has_the_psnr_asked_for(clean: Volume, psnr: float, seed: int) -> None:
    plane = clean[0, :24, :24]
    noisy = add_noise(plane, psnr, seed)
    assert noisy.dtype == np.float32
    assert -10 * np.log10(np.mean((noisy.astype(np.float64) - plane) ** 2)) == pytest.approx(psnr, abs=0.1)


def test_noise_is_white_seeded_and_not_clipped(clean: Volume) -> None:
    noise = add_noise(clean, 12, seed=5) - clean
    assert abs(correlation(noise[..., 1:], noise[..., :-1])) < 0.02
    assert abs(correlation(noise[1:], noise[:-1])) < 0.02
    assert np.array_equal(add_noise(clean, 12, seed=5) - clean, noise)
    assert abs(correlation(add_noise(clean, 12, seed=6) - clean, noise)) < 0.02
    assert (noise + clean).min() < 0


def test_half_of_the_noise_is_shot_noise() -> None:
    clean = np.repeat(np.array([0.0, 0.2, 1.0], np.float32), 100_000).reshape(3, 250, 400)
    variances = (add_noise(clean, 15) - clean).var(axis=(1, 2))
    total, mean = 10**-1.5, 0.4
    expected = 0.5 * total + 0.5 * total / mean * np.array([0.0, 0.2, 1.0])
    assert variances == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_camera_counts_follow_the_closed_form(level: float) -> None:
    camera = Camera(photons=50, gain=3, read_noise=7, offset=100)
    counts = camera.expose(np.full((400, 400), level, np.float32), seed=2)
    signal = 3 * 50 * level
    variance = 3 * signal + 7**2
    assert counts.dtype == np.uint16
    assert counts.mean() == pytest.approx(100 + signal, abs=5 * np.sqrt(variance / counts.size))
    assert counts.var() == pytest.approx(variance + 1 / 12, rel=0.02)  # 1/12: rounding to whole counts


def test_camera_is_seeded(clean: Volume) -> None:
    first = Camera().expose(clean, seed=1)
    assert np.array_equal(Camera().expose(clean, seed=1), first)
    assert not np.array_equal(Camera().expose(clean, seed=2), first)


def test_camera_clips_at_both_ends_instead_of_wrapping() -> None:
    ends = np.array([[0.0] * 500, [1.0] * 500], np.float32)
    dark, bright = Camera(photons=1000, gain=100, read_noise=30, offset=0).expose(ends)
    assert np.all(bright == 65535)
    assert np.mean(dark == 0) == pytest.approx(0.5, abs=0.1)
    assert dark.max() < 200


@pytest.mark.parametrize("psnr", [np.nan, np.inf, -np.inf, 81, -21])
def test_levels_out_of_range_are_refused(clean: Volume, psnr: float) -> None:
    with pytest.raises(ConfigError, match="psnr is"):
        add_noise(clean, psnr)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_clean_values_out_of_range_are_refused(value: float) -> None:
    clean = np.array([[0.5, value]], np.float32)
    with pytest.raises(ConfigError, match="range 0 to 1"):
        add_noise(clean, 15)
    with pytest.raises(ConfigError, match="range 0 to 1"):
        Camera().expose(clean)


def test_empty_and_black_arrays_are_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        add_noise(np.zeros((0, 4), np.float32), 15)
    with pytest.raises(ConfigError, match="zero everywhere"):
        add_noise(np.zeros((4, 4), np.float32), 15)


def test_negative_seeds_are_refused(clean: Volume) -> None:
    with pytest.raises(ConfigError, match="seed is -1"):
        add_noise(clean, 9, -1)
    with pytest.raises(ConfigError, match="seed is -1"):
        Camera().expose(clean, -1)


@pytest.mark.parametrize("field", ["photons", "gain", "read_noise", "offset"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_cameras_that_make_no_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match="camera"):
        Camera(**{field: value})


def lag(noise: NDArray[np.float64], rows: int, columns: int) -> float:
    """Correlation of each pixel of (H, W) with the one so many rows below and columns to the right."""
    height, width = noise.shape
    return correlation(noise[rows:, columns:], noise[: height - rows, : width - columns])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_correlated_noise_keeps_the_variance_and_correlates_rows_alone(level: float, share: float) -> None:
    camera = Camera(photons=50, gain=30, read_noise=200, offset=2000, correlated=share)
    noise = camera.expose(np.full((500, 500), level, np.float32), seed=1) - (2000 + 30 * 50 * level)
    assert noise.var() == pytest.approx(30 * 30 * 50 * level + 200**2, rel=0.03)
    assert abs(noise.mean()) < 3
    assert [lag(noise, 0, d) for d in (1, 2, 3)] == pytest.approx([2 / 3 * share, share / 6, 0], abs=0.015)
    assert [lag(noise, 1, d) for d in (0, 1)] == pytest.approx([0, 0], abs=0.015)


def test_the_noise_of_frames_and_planes_is_independent() -> None:
    counts = Camera(correlated=0.7).expose(np.full((2, 2, 200, 200), 0.5, np.float32)).astype(np.float64)
    pairs = [(counts[0, 0], counts[0, 1]), (counts[0, 0], counts[1, 0]), (counts[0, 1], counts[1, 1])]
    assert [correlation(a, b) for a, b in pairs] == pytest.approx([0, 0, 0], abs=0.025)


@pytest.mark.parametrize("psnr", [5.0, 15.0, 30.0, 45.0])
@pytest.mark.parametrize("share", [0.0, 0.8])
def test_a_camera_at_a_psnr_has_it(clean: Volume, psnr: float, share: float) -> None:
    camera = Camera.at_psnr(clean, psnr, share)
    counts, expected = camera.expose(clean, seed=2).astype(np.float64), camera.expected(clean)
    peak = camera.gain * camera.photons
    assert -10 * np.log10(np.mean((counts - expected) ** 2) / peak**2) == pytest.approx(psnr, abs=0.1)
    assert (counts == 0).sum() + (counts == 65535).sum() < 1e-4 * counts.size


def test_expected_counts_are_the_mean_of_many_exposures(clean: Volume) -> None:
    camera, corner = Camera.at_psnr(clean, 15, 0.5), clean[0, :32, :32]
    exposures = camera.expose(np.broadcast_to(corner, (2000, 32, 32)), seed=3)
    error = exposures.mean(0) - camera.expected(corner)
    deviation = exposures.std(0) / np.sqrt(2000)
    assert abs((error / deviation).mean()) < 0.1
    assert (error / deviation).std() == pytest.approx(1, abs=0.1)


def test_a_full_well_and_the_converter_saturate() -> None:
    bright = np.ones((100, 100), np.float32)
    full = Camera(photons=1000, gain=2, read_noise=0, offset=10, full_well=400)
    assert np.all(full.expose(bright) == 10 + 2 * 400)
    assert np.all(full.expected(bright) == 10 + 2 * 400)
    assert Camera(photons=1000, gain=2, bits=8).expose(bright).max() == 255


@pytest.mark.parametrize(
    "settings", [{"full_well": 0.0}, {"bits": 17}, {"bits": 0}, {"correlated": 1.1}, {"correlated": np.nan}]
)
def test_saturation_and_correlation_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="camera"):
        Camera(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("psnr", [PSNR_RANGE[0] - 0.1, PSNR_RANGE[1] + 0.1, np.nan])
def test_no_camera_has_a_psnr_out_of_range(clean: Volume, psnr: float) -> None:
    with pytest.raises(ConfigError, match="psnr is"):
        Camera.at_psnr(clean, psnr)
