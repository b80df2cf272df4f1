"""What follows from the rows of an evaluation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.results import METRICS, Row
from baikal_evaluation.statistics import mean_interval
from tests.made_up_results import IMAGES, METHODS, all_rows, results, row

PSNR, SSIM, MSE, NOISE_BEFORE, NOISE_AFTER = METRICS


def test_methods_and_images_keep_the_order_of_the_rows() -> None:
    assert results().methods == list(METHODS)
    assert results().images == list(IMAGES)


def test_summary_is_of_the_images_that_did_not_fail() -> None:
    summary = results().summary()
    assert {method: (one.images, one.failures) for method, one in summary.items()} == {
        METHODS[0]: (6, 0), METHODS[1]: (6, 0), METHODS[2]: (5, 1),
    }  # fmt: skip
    values = [row(image, METHODS[2]).psnr for image in IMAGES if image != IMAGES[2]]
    assert summary[METHODS[2]].metrics["psnr"] == mean_interval([value for value in values if value])
    assert summary[METHODS[2]].nfe == 30
    assert summary[METHODS[2]].seconds_per_plane == pytest.approx(0.1 + 2 / 3)


def test_differences_are_of_the_images_that_both_denoised() -> None:
    """The failure is on one of the hard images: unpaired means would flatter who failed."""
    rows = [
        Row(f"{i}", method, psnr=10.0 * i + bonus) for i in range(8) for method, bonus in (("a", 0), ("b", 1))
    ]
    rows[1] = Row("0", "b", error="failed")
    difference = results(rows).differences("a")
    assert list(difference) == ["b"]
    assert difference["b"].images == 7
    assert difference["b"].metrics["psnr"] == pytest.approx((1, 1, 1))
    assert results(rows).differences("b")["a"].metrics["psnr"].mean == pytest.approx(-1)
    means = results(rows).summary()
    assert means["b"].metrics["psnr"].mean - means["a"].metrics["psnr"].mean > 5


def test_differences_pair_by_image_and_not_by_place() -> None:
    rng = np.random.default_rng(0)
    rows = [row(image, method) for method in METHODS[:2] for image in rng.permutation(list(IMAGES)).tolist()]
    expected = np.mean([(row(i, METHODS[1]).psnr or 0) - (row(i, METHODS[0]).psnr or 0) for i in IMAGES])
    found = results(rows).differences(METHODS[0])[METHODS[1]].metrics["psnr"]
    assert found.mean == pytest.approx(expected)
    assert found.high - found.low < 0.2


def test_of_many_methods_one_is_the_reference() -> None:
    rows = [Row("a", f"method {i}") for i in range(13)]
    assert results(rows[:12]).references == results(rows[:12]).methods
    assert results(rows).references == ["method 0"]


def test_a_reference_that_was_not_run_is_told_with_those_that_were() -> None:
    with pytest.raises(EvaluationError, match=r"no method 'bm3d' .* noisy, gauss"):
        results().differences("bm3d")


def test_a_method_that_failed_on_everything_has_no_means() -> None:
    rows = [*(row(image, "noisy") for image in IMAGES), *(Row(image, "bad", error="no") for image in IMAGES)]
    found = results(rows)
    assert found.summary()["bad"].metrics == {}
    assert (found.summary()["bad"].nfe, found.summary()["bad"].seconds_per_plane) == (None, None)
    assert found.differences("noisy")["bad"] == found.differences("bad")["noisy"]
    assert found.differences("noisy")["bad"].images == 0


def test_metrics_are_those_that_were_measured() -> None:
    assert results().metrics == [PSNR, SSIM, MSE]
    rows = [Row("a", "noisy", noise_before=2.0, noise_after=1.0), Row("b", "noisy", error="no")]
    assert results(rows).metrics == [NOISE_BEFORE, NOISE_AFTER]
    assert results([]).metrics == []


def test_images_with_and_without_a_clean_side() -> None:
    rows = [Row("a", "m", psnr=30.0), Row("b", "m", noise_before=2.0, noise_after=1.0)]
    found = results(rows)
    assert found.summary()["m"].images == 2
    assert {name: interval.mean for name, interval in found.summary()["m"].metrics.items()} == {
        "psnr": 30, "noise_before": 2, "noise_after": 1,
    }  # fmt: skip


def test_best_is_the_highest_psnr_and_the_lowest_mse() -> None:
    rows = [replace(one, error=None) if one.error else one for one in all_rows()]
    rows = [row(one.image, one.method) for one in rows]
    assert [results(rows).best(metric) for metric in (PSNR, SSIM, MSE)] == [METHODS[2]] * 3
    assert results(rows, oracles=frozenset(METHODS[2:])).best(PSNR) == METHODS[1]
    assert results(rows, oracles=frozenset(METHODS)).best(PSNR) is None


def test_best_has_not_left_out_images() -> None:
    """The better one failed on an image; its mean is over easier ones."""
    assert results(oracles=frozenset()).best(PSNR) == METHODS[1]


def test_least_noise_is_not_best() -> None:
    rows = [Row("a", "noisy", noise_after=2.0), Row("a", "blur", noise_after=0.0)]
    assert results(rows).best(NOISE_AFTER) is None


def test_an_exact_prediction() -> None:
    rows = [
        Row(image, method, psnr=psnr) for image in IMAGES for method, psnr in (("a", 30.0), ("b", math.inf))
    ]
    found = results(rows)
    assert found.summary()["b"].metrics["psnr"].mean == math.inf
    assert found.differences("a")["b"].metrics["psnr"].mean == math.inf
    assert found.best(PSNR) == "b"
