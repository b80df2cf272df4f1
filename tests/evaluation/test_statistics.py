"""Intervals of means on known distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.statistics import Interval, mean_interval, paired_difference

Rng = np.random.Generator
Draw = Callable[[Rng], np.ndarray]
SEEDS = 300


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(5)


def covered(draw: Draw, truth: float) -> float:
    """Share of the intervals in which the true mean lies."""
    intervals = [mean_interval(draw(np.random.default_rng(seed)).tolist()) for seed in range(SEEDS)]
    return float(np.mean([low <= truth <= high for _, low, high in intervals]))


@pytest.mark.parametrize(
    ("draw", "truth", "least"),
    [
        (lambda rng: rng.normal(28, 2, 8), 28, 0.90),  # 93.9 % over 2000 seeds; 300 vary by 1.5 %
        (lambda rng: rng.beta(8, 2, 8), 0.8, 0.89),  # 93.5 %; SSIM looks like this
        (lambda rng: rng.exponential(1, 20), 1, 0.88),  # 93.1 %
    ],
    ids=["normal 8", "beta 8", "exponential 20"],
)
def test_intervals_cover_the_true_mean(draw: Draw, truth: float, least: float) -> None:
    assert least <= covered(draw, truth) <= 0.985


def test_the_interval_of_many_normal_values_is_the_textbooks(rng: Rng) -> None:
    values = rng.normal(0, 1, 400)
    mean, low, high = mean_interval(values.tolist())
    assert mean == values.mean()
    half = 1.966 * values.std(ddof=1) / math.sqrt(400)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.015)


def test_intervals_of_few_normal_values_are_as_wide_as_students() -> None:
    samples = np.random.default_rng(5).normal(size=(60, 8))
    students = 2 * 2.365 * samples.std(axis=1, ddof=1) / math.sqrt(8)
    intervals = [mean_interval(values.tolist()) for values in samples]
    ratio = np.mean([(one.high - one.low) / width for one, width in zip(intervals, students, strict=True)])
    assert ratio == pytest.approx(1, abs=0.05)  # 0.78 at the plain level


def test_an_interval_leans_to_the_long_tail(rng: Rng) -> None:
    mean, low, high = mean_interval(rng.exponential(1, 30).tolist())
    assert high - mean > 1.1 * (mean - low)


def test_the_same_values_have_the_same_interval(rng: Rng) -> None:
    values = rng.normal(size=10).tolist()
    assert mean_interval(values) == mean_interval(values)


@pytest.mark.parametrize("count", range(1, 5))
def test_few_values_have_a_mean_and_no_interval(count: int, rng: Rng) -> None:
    values = rng.normal(size=count).tolist()
    mean, low, high = mean_interval(values)
    assert mean == low == high == pytest.approx(np.mean(values))
    _, low, high = mean_interval(rng.normal(size=5).tolist())
    assert low < high


def test_equal_values_have_no_interval() -> None:
    assert mean_interval([0.1] * 7) == pytest.approx((0.1, 0.1, 0.1))
    mean, low, high = mean_interval([0.1 * 3, 0.3, 0.3, 0.3, 0.3, 0.3])  # the first is one ulp more
    assert low == high == mean


def test_an_infinite_value_makes_the_mean_infinite() -> None:
    assert mean_interval([math.inf, 1, 2, 3, 4, 5]) == Interval(math.inf, math.inf, math.inf)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.nan] * 9])
def test_a_mean_that_is_not_defined(values: list[float]) -> None:
    with pytest.raises(EvaluationError, match="is not defined; leave out images"):
        mean_interval(values)


def test_paired_differences_are_narrower_than_the_means(rng: Rng) -> None:
    difficulty = rng.normal(28, 4, 15)
    ours, theirs = difficulty + rng.normal(0.5, 0.2, 15), difficulty + rng.normal(0, 0.2, 15)
    mean, low, high = paired_difference(ours.tolist(), theirs.tolist())
    assert 0 < low < mean < high
    assert mean == pytest.approx(ours.mean() - theirs.mean())
    single = mean_interval(ours.tolist())
    assert high - low < 0.2 * (single.high - single.low)
    back = paired_difference(theirs.tolist(), ours.tolist())
    assert back == pytest.approx((-mean, -high, -low), abs=0.02)


def test_paired_differences_of_exact_predictions() -> None:
    exact = [math.inf] * 6
    assert paired_difference(exact, exact) == Interval(0, 0, 0)
    assert paired_difference(exact, [30.0] * 6).mean == math.inf
    assert paired_difference([30.0] * 6, exact).mean == -math.inf


def test_paired_differences_need_the_same_images() -> None:
    with pytest.raises(EvaluationError, match="2 and 3 images"):
        paired_difference([1, 2], [1, 2, 3])
