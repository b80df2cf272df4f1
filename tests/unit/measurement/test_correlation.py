"""Correlated noise is found with its spectrum, and white noise is not taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.correlation import Correlation, background, dark_pixels, find_correlation
from baikal_deploy.measurement.surroundings import base
from baikal_training.camera import ROW_KERNEL
from baikal_training.simulate import simulate

SHAPE = (384, 384)


def white(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def rows(share: float = 0.6) -> np.ndarray:
    """The camera's: a share of the variance is smoothed along rows."""
    smooth = sum(k * np.roll(white(1), i, axis=1) for i, k in enumerate(ROW_KERNEL))
    return np.sqrt(1 - share) * white(2) + np.sqrt(share) * smooth


def blobs(sigma: float) -> np.ndarray:
    noise = gaussian_filter(white(3), sigma, mode="wrap")
    return noise / noise.std()


def found(noise: np.ndarray, clean: np.ndarray, said: np.ndarray | None = None) -> Correlation:
    """With a denoiser that keeps nothing but the coarsest structure."""
    plane = noise + clean
    around = base(plane)
    masks = dark_pixels([plane if said is None else np.where(said, plane, np.nan)], [around])

    def removed(factor: float) -> list[np.ndarray]:
        return [plane - gaussian_filter(plane, 12)]

    return find_correlation([plane - background(plane, masks[0])], masks, removed)


NUCLEI = 20 * simulate("nuclei", (1, 1, *SHAPE), 7)[0, 0]


@pytest.mark.parametrize("clean", [np.zeros(SHAPE), NUCLEI])
def test_rows_are_found_on_structure(clean: np.ndarray) -> None:
    fine = np.sqrt(0.6)  # of the variance that the diagonal detail shows
    correlation = found(rows() / fine, clean)
    assert correlation.std == pytest.approx(1 / fine, rel=0.05)
    assert correlation.kernel is not None
    np.testing.assert_allclose(correlation.kernel[12][8:17], [0, 0, 0.1, 0.4, 1, 0.4, 0.1, 0, 0], atol=0.05)
    assert np.abs(np.asarray(correlation.kernel)[[10, 11, 13, 14], 8:17]).max() < 0.05
    # S reaches (1 + 2·0.4 + 2·0.1)/0.6 where rows are smooth.
    assert correlation.raised == pytest.approx(np.sqrt(2 / 0.6), rel=0.1)


@pytest.mark.parametrize("share", [0.225, 0.3])
def test_rows_whose_neighbours_share_little_are_found(share: float) -> None:
    correlation = found(rows(share), NUCLEI)
    assert correlation.kernel is not None
    assert correlation.kernel[12][13] == pytest.approx(2 / 3 * share, abs=0.03)


@pytest.mark.parametrize("sigma", [0.65, 1.2])
def test_blobs_are_found_as_far_as_they_reach(sigma: float) -> None:
    correlation = found(blobs(sigma), np.zeros(SHAPE))
    assert correlation.kernel is not None
    lag = np.arange(-12, 13)
    expected = np.exp(-(lag[:, None] ** 2 + lag**2) / (4 * sigma**2))
    np.testing.assert_allclose(correlation.kernel, expected, atol=0.25)
    assert correlation.std == pytest.approx(1, rel=0.1)


def test_what_rows_and_columns_share_is_found() -> None:
    rng = np.random.default_rng(5)
    lines = np.sqrt(0.2) * rng.standard_normal((SHAPE[0], 1)) + np.sqrt(0.1) * rng.standard_normal(SHAPE[1])
    correlation = found(white() + lines, NUCLEI)
    assert correlation.rows == pytest.approx(0.2, rel=0.25)
    assert correlation.columns == pytest.approx(0.1, rel=0.25)
    kernel = np.asarray(correlation.kernel)
    assert np.abs(np.delete(kernel.ravel(), kernel.size // 2)).max() < 0.08
    assert found(white(), NUCLEI).rows == 0


def test_pixels_that_say_nothing_are_left_out() -> None:
    noise, said = rows(), np.ones(SHAPE, dtype=bool)
    said[100:200, 150:] = False
    noise[~said] *= 5
    plain, masked = found(rows(), NUCLEI), found(noise, NUCLEI, said)
    assert masked.kernel is not None
    assert masked.std == pytest.approx(plain.std, rel=0.05)
    np.testing.assert_allclose(masked.kernel, plain.kernel, atol=0.05)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strength", [2.0, 8.0])
def test_membranes_under_white_noise_never_count(seed: int, strength: float) -> None:
    clean = strength * simulate("flywing", (1, 1, *SHAPE), seed)[0, 0]
    assert found(white(seed), clean) == Correlation()


def test_a_few_pixels_tell_of_no_correlation() -> None:
    planes = [np.repeat(np.random.default_rng(0).normal(0, 1, (16, 8)), 2, axis=1)]
    found = find_correlation(planes, [np.ones((16, 16), bool)], lambda factor: planes)
    assert found == Correlation()
