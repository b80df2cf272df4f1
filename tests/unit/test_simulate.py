from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, gaussian_filter, label

from baikal_deploy.errors import ConfigError
from baikal_training.camera import Camera, add_noise
from baikal_training.simulate import BACKGROUND, Volume, simulate_nuclei

SMALL = (6, 96, 128)


@pytest.fixture(scope="module")
def clean() -> Volume:
    return simulate_nuclei(SMALL, seed=3)


def correlation(a: Volume, b: Volume) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_the_same_seed_gives_the_same_volume_and_another_seed_another(clean: Volume) -> None:
    assert np.array_equal(simulate_nuclei(SMALL, seed=3), clean)
    assert abs(correlation(simulate_nuclei(SMALL, seed=4), clean)) < 0.5


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 16, 70), SMALL])
def test_shape_type_and_range(shape: tuple[int, int, int]) -> None:
    volume = simulate_nuclei(shape, seed=1)
    assert volume.shape == shape
    assert volume.dtype == np.float32
    assert volume.max() == 1
    assert volume.min() > 0.5 * BACKGROUND


@pytest.mark.parametrize("seed", range(4))
def test_nuclei_stand_on_a_dark_background(seed: int) -> None:
    volume = simulate_nuclei(SMALL, seed)
    assert np.median(volume) < 3 * BACKGROUND
    assert 0.03 < np.mean(volume > 0.25) < 0.35
    assert label(volume > 0.25)[1] >= 5


@pytest.mark.parametrize("seed", range(4))
def test_bright_nuclei_and_not_a_lone_speck_set_the_range(seed: int) -> None:
    assert np.percentile(simulate_nuclei(SMALL, seed), 99.9) > 0.75


def test_the_smallest_volumes_hold_a_nucleus_too() -> None:
    steepest = [np.abs(np.diff(simulate_nuclei((1, 16, 16), seed))).max() for seed in range(20)]
    assert min(steepest) > 0.1


def test_the_interior_of_nuclei_is_textured(clean: Volume) -> None:
    smooth = gaussian_filter(clean, (0, 2, 2))
    interior = binary_erosion(clean > 0.25, np.ones((1, 9, 9)))
    # 0.08 as simulated, 0.04 without the chromatin net
    assert (clean / smooth)[interior].std() > 0.06


@pytest.mark.parametrize("seed", range(3))
def test_near_planes_resemble_each_other_more_than_distant_ones(seed: int) -> None:
    volume = simulate_nuclei((9, 96, 96), seed)
    by_distance = [np.mean([correlation(volume[z], volume[z + d]) for z in range(9 - d)]) for d in (1, 3, 7)]
    assert by_distance[0] > 0.75
    assert by_distance[0] > by_distance[1] + 0.1 > by_distance[2] + 0.2


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


@pytest.mark.parametrize("shape", [(0, 32, 32), (2, 15, 32), (2, 32, 15), (32, 32)])
def test_shapes_that_cannot_be_simulated_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="shape is"):
        simulate_nuclei(shape)


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
        simulate_nuclei(SMALL, -1)
    with pytest.raises(ConfigError, match="seed is -1"):
        add_noise(clean, 9, -1)
    with pytest.raises(ConfigError, match="seed is -1"):
        Camera().expose(clean, -1)


@pytest.mark.parametrize("field", ["photons", "gain", "read_noise", "offset"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_cameras_that_make_no_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match="camera"):
        Camera(**{field: value})


def test_simulating_needs_no_torch() -> None:
    code = "import sys, baikal_training.simulate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
