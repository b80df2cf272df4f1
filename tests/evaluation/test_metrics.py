"""Metrics against closed forms, and as the authors define them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.metrics import (
    AUTHORS,
    AUTHORS_STORED,
    Definition,
    NoiseLevels,
    noise_levels,
    score,
)

RAW = AUTHORS_STORED
PER_PLANE = replace(RAW, project=False)


def stack(planes: int = 3, side: int = 40, seed: int = 0) -> np.ndarray:
    """Smooth blobs of 100 to 1100."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side * 2 * np.pi
    phases = rng.uniform(0, 6, (planes, 2, 1, 1))
    return (600 + 250 * (np.sin(x + phases[:, 0]) + np.cos(2 * y + phases[:, 1]))).astype(np.float32)


def noisy(clean: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    return clean + np.random.default_rng(seed).normal(0, sigma, clean.shape).astype(np.float32)


def wang(first: np.ndarray, second: np.ndarray, data_range: float) -> float:
    """SSIM of one 7 x 7 window, Wang et al. (2004) equation 13, with sample covariance."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance = np.cov(first.ravel(), second.ravel(), ddof=1)
    means = first.mean(), second.mean()
    top = (2 * means[0] * means[1] + c1) * (2 * covariance[0, 1] + c2)
    bottom = (means[0] ** 2 + means[1] ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
    return float(top / bottom)


def test_an_exact_prediction() -> None:
    for definition in (AUTHORS, RAW, PER_PLANE, replace(AUTHORS, fit="affine", project=False)):
        ssim, psnr, mse = score(stack(), stack(), definition, True)
        assert ssim == pytest.approx(1)
        assert mse == pytest.approx(0, abs=1e-12)
        assert psnr > 200
    assert score(stack(), stack(), RAW, True).psnr == math.inf


@pytest.mark.parametrize("psnr_range", [1.0, 255.0])
def test_mse_and_psnr_of_a_constant_offset(psnr_range: float) -> None:
    clean = stack()
    scores = score(clean + 8, clean, replace(PER_PLANE, psnr_range=psnr_range), False)
    assert scores.mse == pytest.approx(64, rel=1e-5)
    assert scores.psnr == pytest.approx(20 * math.log10(psnr_range / 8), abs=1e-4)


def test_psnr_of_known_noise_with_the_joint_range() -> None:
    clean = stack(1, 400)
    prediction = noisy(clean, 20)
    joint = max(prediction.max(), clean.max()) - min(prediction.min(), clean.min())
    scores = score(prediction, clean, replace(RAW, psnr_range="joint"), False)
    assert scores.mse == pytest.approx(400, rel=0.02)
    assert scores.psnr == pytest.approx(20 * math.log10(joint / 20), abs=0.1)


def test_figures_of_planes_are_averaged() -> None:
    """Of the decibels, not of the squared errors."""
    clean = stack(2)
    prediction = clean + np.array([1, 100], np.float32)[:, None, None]
    scores = score(prediction, clean, PER_PLANE, True)
    assert scores.mse == pytest.approx((1 + 100**2) / 2, rel=1e-5)
    assert scores.psnr == pytest.approx((0 - 40) / 2, abs=1e-3)


@pytest.mark.parametrize("data_range", ["joint", 300.0])
def test_ssim_is_the_formula_on_a_single_window(data_range: Any) -> None:
    clean = stack(1, 7)
    prediction = noisy(clean, 80)
    joint = float(max(prediction.max(), clean.max()) - min(prediction.min(), clean.min()))
    expected = wang(prediction[0], clean[0], joint if data_range == "joint" else data_range)
    assert 0.3 < expected < 0.99
    assert score(prediction, clean, replace(RAW, ssim_range=data_range), False).ssim == pytest.approx(
        expected
    )


def test_ssim_is_the_mean_over_windows_inside_the_image() -> None:
    clean = stack(1, 12)
    prediction = noisy(clean, 80)
    windows = [(slice(y, y + 7), slice(x, x + 7)) for y in range(6) for x in range(6)]
    expected = np.mean([wang(prediction[0][window], clean[0][window], 1500) for window in windows])
    scores = score(prediction, clean, replace(RAW, ssim_range=1500.0), False)
    assert scores.ssim == pytest.approx(expected, rel=1e-6)


def test_volumes_are_max_projected_unless_the_definition_says_otherwise() -> None:
    clean, prediction = stack(4), noisy(stack(4), 50)
    flat = score(prediction.max(axis=0)[None], clean.max(axis=0)[None], RAW, False)
    assert score(prediction, clean, RAW, True) == flat
    planes = [score(prediction[i : i + 1], clean[i : i + 1], RAW, False) for i in range(4)]
    for scores in (score(prediction, clean, RAW, False), score(prediction, clean, PER_PLANE, True)):
        assert scores == pytest.approx(np.mean(planes, axis=0))
        assert scores != flat


def test_normalised_by_percentiles_of_the_whole_clean_image() -> None:
    clean, prediction = stack(4), noisy(stack(4), 50)
    low, high = np.percentile(clean, [5, 90])
    mapped = [((side - low) / (high - low)).astype(np.float32) for side in (prediction, clean)]
    definition = Definition(Normalisation(5, 90))
    expected = score(*mapped, RAW, True)
    assert score(prediction, clean, definition, True) == pytest.approx(expected, rel=1e-4)
    assert expected.mse == pytest.approx(
        score(prediction, clean, RAW, True).mse / (high - low) ** 2, rel=1e-4
    )


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (40, -300), (0.001, 7)])
def test_authors_figures_do_not_depend_on_the_units_of_the_camera(scale: float, offset: float) -> None:
    clean, prediction = stack(), noisy(stack(), 50)
    other = [(side * scale + offset).astype(np.float32) for side in (prediction, clean)]
    expected = score(prediction, clean, AUTHORS, True)
    assert score(*other, AUTHORS, True) == pytest.approx(expected, rel=2e-3)
    assert 5 < expected.psnr < 40


@pytest.mark.parametrize("project", [True, False])
def test_affine_fit_removes_scale_and_offset(project: bool) -> None:
    clean = stack()
    definition = Definition(None, project, "affine")
    assert score(clean * 3 - 500, clean, definition, True).ssim == pytest.approx(1)
    assert score(clean * 3 - 500, clean, definition, True).mse < 1e-6
    assert score(clean * 3 - 500, clean, replace(definition, fit="none"), True).mse > 1e4


def test_affine_fit_is_that_of_least_squares_over_all_planes() -> None:
    clean = stack()
    prediction = noisy(clean, 60) * 2 + 30 * np.arange(3, dtype=np.float32)[:, None, None]
    scale, offset = np.polyfit(prediction.ravel().astype(float), clean.ravel().astype(float), 1)
    expected = score(prediction * scale + offset, clean, PER_PLANE, False)
    assert score(prediction, clean, replace(PER_PLANE, fit="affine"), False) == pytest.approx(
        expected, rel=1e-4
    )


def test_a_constant_prediction_is_a_bad_one() -> None:
    clean = stack()
    constant = np.full_like(clean, 300)
    assert score(constant, clean, RAW, False).ssim < 0.2
    fitted = score(constant, clean, Definition(None, False, "affine"), False)
    assert fitted.mse == pytest.approx(clean.var(), rel=1e-4)


def test_a_definition_says_everything_in_one_line() -> None:
    assert str(AUTHORS) == (
        "intensities on 0 to 1 (percentiles 1 and 99.8 of the clean image), volumes max-projected over z; "
        "SSIM with joint range (max − min of both), PSNR with data range 1"
    )
    assert str(Definition(None, False, "affine", 255.0, "joint")) == (
        "intensities as stored, mean over planes, scale and offset fitted by least squares; "
        "SSIM with data range 255, PSNR with joint range (max − min of both)"
    )


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["ssim_range", "psnr_range"])
def test_data_ranges_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match="it must be 'joint' or above 0"):
        Definition(**{name: value})  # type: ignore[arg-type]


def with_pixel(value: float) -> np.ndarray:
    pixels = stack()
    pixels[1, 2, 3] = value
    return pixels


FLAT = np.full((3, 40, 40), 7, np.float32)
ONE_FLAT_PLANE = np.concatenate([stack(2), FLAT[:1]])


@pytest.mark.parametrize(
    ("prediction", "clean", "definition", "match"),
    [
        (stack(2), stack(3), AUTHORS, r"shape \(2, 40, 40\) and the clean image \(3, 40, 40\)"),
        (stack(3, 6), stack(3, 6), RAW, r"\(6, 6\) pixels; SSIM needs 7 x 7"),
        (with_pixel(math.nan), stack(), AUTHORS, "the prediction holds NaN"),
        (with_pixel(math.inf), stack(), RAW, "the prediction holds NaN"),
        (stack(), with_pixel(math.nan), AUTHORS, "the clean image holds NaN"),
        (stack(), FLAT, AUTHORS, "is constant"),
        (stack(), FLAT, RAW, "is constant"),
        (FLAT, FLAT, RAW, "is constant"),
        (stack(), ONE_FLAT_PLANE, PER_PLANE, "a plane of it, is constant"),
    ],
)
def test_what_cannot_be_compared(
    prediction: np.ndarray, clean: np.ndarray, definition: Definition, match: str
) -> None:
    with pytest.raises(EvaluationError, match=match):
        score(prediction, clean, definition, True)


def test_noise_that_is_left_where_there_is_no_clean_side() -> None:
    clean = np.full((2, 200, 200), 500, np.float32)
    levels = noise_levels(noisy(clean, 20), noisy(clean, 5))
    assert levels == pytest.approx(NoiseLevels(20, 5), rel=0.03)
