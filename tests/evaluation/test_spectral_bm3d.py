"""BM3D told the spectrum of the noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_evaluation.methods.spectral_bm3d import LEAST, bm3d_of, denoised, power_spectrum, whole

ROWS = 1.0, 2 / 3, 1 / 6
"""Correlation of noise smoothed by 1, 2, 1 along rows at distances of 0, 1 and 2 pixels."""


def along_rows(side: int) -> NoiseModel:
    values = np.zeros((side, side))
    for distance, correlation in enumerate(ROWS):
        values[side // 2, side // 2 + distance] = values[side // 2, side // 2 - distance] = correlation
    return replace(NoiseModel.uniform(1.0), kernel=tuple(map(tuple, values.tolist())))


def row_noise(shape: tuple[int, int], seed: int) -> NDArray[np.float64]:
    white = np.random.default_rng(seed).standard_normal((shape[0], shape[1] + 2))
    return (white[:, :-2] + 2 * white[:, 1:-1] + white[:, 2:]) / np.sqrt(6)


def test_the_spectrum_is_the_variance_of_orthonormal_coefficients() -> None:
    shape = (24, 40)
    fields = np.stack([row_noise(shape, seed) for seed in range(2000)])
    power = np.square(np.abs(np.fft.fft2(fields, norm="ortho"))).mean(axis=0)
    found = power_spectrum(along_rows(7), shape)
    assert found.mean() == pytest.approx(1, abs=0.01)
    strong = found > 0.2  # the plane's edges leak into what is weak
    np.testing.assert_allclose(found[strong], power[strong], rtol=0.2)


@pytest.mark.parametrize("shape", [(16, 16), (17, 30), (64, 9)])
def test_a_kernel_of_any_odd_side_gives_the_same_spectrum(shape: tuple[int, int]) -> None:
    """Also where it is larger than the plane."""
    np.testing.assert_allclose(power_spectrum(along_rows(25), shape), power_spectrum(along_rows(7), shape))
    np.testing.assert_allclose(power_spectrum(replace(along_rows(7), kernel=((1.0,),)), shape), 1)


def test_what_lines_share_is_in_the_waves_across_them() -> None:
    """Offsets of whole rows change along y alone, those of columns along x."""
    rng = np.random.default_rng(3)
    white, rows, columns = (rng.standard_normal((2000, *shape)) for shape in ((16, 24), (16, 1), (1, 24)))
    fields = (white + np.sqrt(0.5) * rows + np.sqrt(0.2) * columns) / np.sqrt(1.7)
    power = np.square(np.abs(np.fft.fft2(fields, norm="ortho"))).mean(axis=0)
    noise = replace(along_rows(7), kernel=((1.0,),), rows=0.5, columns=0.2)
    np.testing.assert_allclose(power_spectrum(noise, (16, 24)), power, rtol=0.2)


def test_no_frequency_is_without_power() -> None:
    assert power_spectrum(along_rows(7), (16, 16)).min() >= LEAST  # that of 1, 2, 1 ends at 0


def test_correlated_noise_is_removed_with_its_spectrum() -> None:
    clean = np.zeros((64, 64))
    clean[16:40, 20:44] = 6
    noisy = gaussian_filter(clean, 2) + row_noise((64, 64), 5)
    wrong, right = (
        np.square(bm3d_of(noisy, spectrum) - gaussian_filter(clean, 2)).mean()
        for spectrum in (None, power_spectrum(along_rows(7), (64, 64)))
    )
    assert right < 0.3 * wrong


def test_numpy_is_as_it_was() -> None:
    before = hasattr(np, "trapz")
    bm3d_of(row_noise((32, 32), 0), power_spectrum(along_rows(7), (32, 32)))
    assert hasattr(np, "trapz") == before


def test_the_level_is_that_of_pixels_and_not_of_their_finest_detail() -> None:
    found = whole(NoiseModel(2.0, 16.0, 1.0, 5.0, correlation=1.5))
    assert (found.gain, found.intercept, found.level) == (4.5, 36.0, 7.5)


def test_white_noise_of_one_level_and_none_at_all() -> None:
    rng = np.random.default_rng(1)
    noisy = rng.normal(100, 4, (48, 48))
    assert denoised(noisy, NoiseModel.uniform(4.0)).std() < 1
    assert denoised(noisy, NoiseModel.uniform(0.0)) is noisy
    photons = 5.0 * rng.poisson(20, (48, 48))
    result = denoised(photons, NoiseModel(5.0, 0.0, 0.0, 22.0))
    assert result.mean() == pytest.approx(100, rel=0.02)
    assert result.std() < 5
