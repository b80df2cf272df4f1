"""Pixels, rows and columns of a detector that do not work, or are saturated."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from baikal_deploy.denoising.denoiser import Denoiser
from tests.e2e.cameras.simulated import LOST, SIDE, Seen, blobs, denoised, psnr, seen

Y, X = np.mgrid[:SIDE, :SIDE]


def scattered(share: float) -> NDArray[np.bool_]:
    return np.random.default_rng(5).random((SIDE, SIDE)) < share


WRONG: dict[str, tuple[NDArray[np.bool_], float]] = {
    "hot pixels": (scattered(3e-4), 4000),
    "more of them": (scattered(1e-3), 1000),
    "at the highest value": (scattered(3e-3), 65535),
    "dead pixels": (scattered(0.01), 0),
    "dead columns": (np.isin(X, (40, 90, 150)), 0),
    "dead rows": (np.isin(Y, (40, 90, 150)), 0),
    "saturated columns": (np.isin(X, (50, 51)), 65535),
    "hot rows": (np.isin(Y, (50, 51, 52)), 4000),
    "half a column": ((X == 77) & (Y > 100), 4000),
}


@pytest.mark.parametrize("name", WRONG)
def test_they_are_replaced(nuclei: Denoiser, good: Seen, reference: float, name: str) -> None:
    wrong, value = WRONG[name]
    counts = good.rounded.copy()
    counts[wrong] = value
    result = denoised(nuclei, counts)
    assert psnr(result, good.truth, ~wrong) > reference - LOST
    assert psnr(result, good.truth, wrong) > reference - 6


def test_their_values_are_kept_on_demand(nuclei: Denoiser, good: Seen) -> None:
    wrong, counts = scattered(1e-3), good.rounded.copy()
    counts[wrong] = 4000
    replaced, kept = denoised(nuclei, counts), denoised(nuclei, counts, defects="keep")
    assert (kept[wrong] == 4000).all()
    np.testing.assert_array_equal(kept[~wrong], replaced[~wrong])


def test_puncta_and_filaments_stay(nuclei: Denoiser, good: Seen, caplog: pytest.LogCaptureFixture) -> None:
    clean, random = blobs(), np.random.default_rng(7)
    for y, x, width in np.column_stack([random.uniform(8, SIDE - 8, (40, 2)), random.uniform(0.8, 1.3, 40)]):
        clean += 4 * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * width**2))
    clean += 2 * np.exp(-((X - 100.3) ** 2) / (2 * 0.8**2)) * (Y > 60) * (Y < 130)
    with caplog.at_level(logging.WARNING):
        denoised(nuclei, seen(clean).rounded)
    assert "hot and dead" not in caplog.text


@pytest.mark.parametrize(("scale", "offset"), [(7.3, 0.0), (1.0, 1000.0), (0.01, -5.0)])
def test_units_change_nothing(nuclei: Denoiser, good: Seen, scale: float, offset: float) -> None:
    counts = good.counts.copy()
    counts[:5], counts[scattered(1e-3)], counts[:, 77] = np.nan, 4000, 3000
    other = (denoised(nuclei, counts * scale + offset) - offset) / scale
    np.testing.assert_allclose(other, denoised(nuclei, counts), atol=1e-6)


def test_saturated_cells_are_said_and_stay_flat(
    nuclei: Denoiser, good: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    counts: NDArray[Any] = np.minimum(good.rounded, 180)
    with caplog.at_level(logging.WARNING):
        result = denoised(nuclei, counts).astype(float)
    assert "saturated pixels" in caplog.text
    flat = good.truth > 205
    assert abs(result[flat] - 180).max() < 12
