"""Correlated noise is found, and white noise is not taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.correlation import (
    REACH,
    Correlation,
    autocorrelation,
    detail_ratio,
    find_correlation,
    spectrum,
    total_std,
)
from baikal_deploy.measurement.surroundings import base
from baikal_training.camera import ROW_KERNEL
from baikal_training.simulate import simulate

SHAPE = (384, 384)
EVERYWHERE = [np.ones(SHAPE, dtype=bool)]


def white(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def rows(share: float = 0.6) -> np.ndarray:
    """The camera's: a share of the variance is smoothed along rows."""
    smooth = sum(k * np.roll(white(1), i, axis=1) for i, k in enumerate(ROW_KERNEL))
    return np.sqrt(1 - share) * white(2) + np.sqrt(share) * smooth


def test_autocorrelation_is_that_of_the_camera() -> None:
    found = autocorrelation([rows()], EVERYWHERE)
    expected = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    expected[REACH, REACH - 2 : REACH + 3] = [0.1, 0.4, 1, 0.4, 0.1]
    np.testing.assert_allclose(found, expected, atol=0.015)


def test_autocorrelation_leaves_out_what_is_masked() -> None:
    plane, mask = white(), np.zeros(SHAPE, dtype=bool)
    mask[:, :200] = True
    plane[:, 200:] = 1000.0
    assert autocorrelation([plane], [mask])[REACH, REACH] == pytest.approx(1, rel=0.02)


def test_spectrum_of_white_noise_is_flat() -> None:
    assert spectrum(autocorrelation([white()], EVERYWHERE)) == pytest.approx(1, abs=0.06)


def test_detail_ratio_of_white_and_of_correlated_noise() -> None:
    assert detail_ratio([white()], EVERYWHERE) == pytest.approx(1, abs=0.05)
    # (1 + 0.4)/(1 − 0.4), by the correlation of neighbours in a row.
    assert detail_ratio([rows()], EVERYWHERE) == pytest.approx(1.4 / 0.6, rel=0.05)


def found(noise: np.ndarray, clean: np.ndarray) -> Correlation:
    """With a denoiser that blurs the more, the stronger the noise that it is told of."""
    plane = noise + clean
    around = base(plane)
    return find_correlation(
        [plane - around], [around], lambda factor: [plane - gaussian_filter(plane, 0.8 * factor)]
    )


def test_correlated_noise_on_structure() -> None:
    clean = 20 * simulate("nuclei", (1, 1, *SHAPE), 7)[0, 0]
    fine = np.sqrt(0.6)  # of the variance that the diagonal detail shows
    correlation = found(rows() / fine, clean)
    assert correlation.std == pytest.approx(1 / fine, rel=0.08)
    assert 1.2 * correlation.std < correlation.raised < 1.6 * correlation.std
    assert correlation.kernel is not None
    np.testing.assert_allclose(correlation.kernel[REACH], [0, 0.1, 0.4, 1, 0.4, 0.1, 0], atol=0.08)
    assert total_std(correlation.kernel) == pytest.approx(1 / fine, rel=0.08)


def test_total_std_is_that_over_the_finest_detail() -> None:
    values = np.zeros((2, 2 * REACH + 1, 2 * REACH + 1))
    values[:, REACH, REACH] = 1
    values[0, REACH, REACH - 1 : REACH + 2 : 2] = 0.4
    values[1, REACH - 1, REACH - 1] = values[1, REACH + 1, REACH + 1] = 0.3
    kernels = [tuple(map(tuple, one.tolist())) for one in (values[0], values[0].T, values[1])]
    expected = [1 / np.sqrt(0.6), 1 / np.sqrt(0.6), 1 / np.sqrt(1.15)]
    np.testing.assert_allclose([total_std(kernel) for kernel in kernels], expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strength", [2.0, 8.0])
def test_membranes_under_white_noise_never_count(seed: int, strength: float) -> None:
    clean = strength * simulate("flywing", (1, 1, *SHAPE), seed)[0, 0]
    assert found(white(seed), clean) == Correlation()
