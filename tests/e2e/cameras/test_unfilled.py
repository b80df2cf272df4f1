"""Pixels that were never filled: they stay what they are, and spoil no others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.sample import sampled
from tests.e2e.cameras.simulated import LOST, OFFSET, SIDE, Seen, blobs, denoised, psnr, seen

Mask = NDArray[np.bool_]
Y, X = np.mgrid[:SIDE, :SIDE]


def frame(width: int) -> Mask:
    return np.minimum(np.minimum(Y, X), np.minimum(SIDE - 1 - Y, SIDE - 1 - X)) < width


def box(*spans: int) -> Mask:
    top, bottom, left, right = spans
    return (top <= Y) & (bottom > Y) & (left <= X) & (right > X)


AREAS: dict[str, tuple[Mask, float]] = {
    "frame of two": (frame(2), 0),
    "rows and columns of a shift": ((Y < 3) | (X < 5), 0),
    "rows at the top": (Y < 8, 0),
    "steep parallelogram": ((X < 30 - Y * 0.3) | (X > SIDE - Y * 0.1), 0),
    "flat parallelogram": (X < 60 - Y / 3.3, 0),
    "other fill value": (box(20, 60, 30, 90), 777),
    "highest value": (box(20, 60, 30, 90), 65535),
    "a quarter is filled": (~box(96, 192, 0, 96), 0),
}


@pytest.mark.parametrize("name", AREAS)
def test_areas_stay_and_spoil_nothing(nuclei: Denoiser, good: Seen, reference: float, name: str) -> None:
    area, value = AREAS[name]
    counts = good.rounded.copy()
    counts[area] = value
    result = denoised(nuclei, counts)
    np.testing.assert_array_equal(result[area], counts[area])
    away = ~binary_dilation(area, np.ones((3, 3)), 4)
    assert psnr(result, good.truth, away) > reference - LOST


def lowest_value(good: Seen) -> tuple[NDArray[Any], Mask, float]:
    counts = (np.rint(good.counts) - OFFSET).astype(np.int16)
    counts[frame(4)] = -32768
    return counts, frame(4), -OFFSET


def nan(good: Seen) -> tuple[NDArray[Any], Mask, float]:
    area = frame(SIDE // 4)
    return np.where(area, np.nan, good.counts).astype(np.float32), area, 0.0


@pytest.mark.parametrize("made", [lowest_value, nan])
def test_other_types(
    nuclei: Denoiser,
    good: Seen,
    made: Callable[[Seen], tuple[NDArray[Any], Mask, float]],
) -> None:
    counts, area, offset = made(good)
    result = denoised(nuclei, counts)
    np.testing.assert_array_equal(result[area], counts[area])
    usual = psnr(denoised(nuclei, good.rounded), good.truth, ~area)
    assert psnr(result, good.truth + offset, ~area) > usual - LOST


@pytest.mark.parametrize("black", [[5], [0, 3, 6]])
def test_black_frames_do_not_spoil_the_others(nuclei: Denoiser, black: list[int]) -> None:
    clean = np.stack([blobs((96, 96), seed) for seed in range(8)])
    movie, lit = seen(clean), [number for number in range(8) if number not in black]
    counts = movie.rounded.copy()
    whole = np.ones((len(lit), 96, 96), bool)
    reference = psnr(denoised(nuclei, counts)[lit], movie.truth[lit], whole)
    counts[black] = 0
    result = denoised(nuclei, counts)
    assert not result[black].any()
    assert psnr(result[lit], movie.truth[lit], whole) > reference - 0.7


def test_a_sparse_mosaic_is_sampled_where_it_is_filled(nuclei: Denoiser, good: Seen) -> None:
    side, sampler = 10 * SIDE, make_sampler("matched", {}, {})
    counts = np.zeros((1, side, side), np.uint16)
    counts[0, 7 * SIDE : 9 * SIDE, 7 * SIDE : 9 * SIDE] = np.tile(good.rounded, (2, 2))
    found = nuclei.measure(sampled(lambda windows: [counts[w] for w in windows], 1, (side, side)), sampler)
    alone = nuclei.measure([good.rounded], sampler)
    assert found.sigma == pytest.approx(alone.sigma, rel=0.1)
    assert found.intensity.high == pytest.approx(alone.intensity.high, rel=0.05)


def test_they_are_counted(nuclei: Denoiser, good: Seen, caplog: pytest.LogCaptureFixture) -> None:
    counts = good.rounded.copy()
    counts[:8] = 0
    with caplog.at_level(logging.WARNING):
        denoised(nuclei, counts)
    assert f"not measured: {8 * SIDE} (4.2 %)" in caplog.text


@pytest.mark.parametrize("photons", [0.05, 0.5, 3])
def test_zeros_of_photon_counting_are_no_areas(nuclei: Denoiser, photons: float) -> None:
    counts = np.random.default_rng(1).poisson(blobs() * 10 + photons).astype(np.uint16)
    assert denoised(nuclei, counts, dtype="float32").astype(bool).mean() > 0.99
