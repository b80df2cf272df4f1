"""The bounded sample of a channel, its noise level and its block means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baikal_deploy.measurement.intensity import fill_non_finite
from baikal_deploy.measurement.sample import (
    BLOCK,
    SAMPLE_PIXELS,
    SAMPLE_SIDE,
    block_means,
    noise_std,
    sample_windows,
    unaligned,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def smooth_structure(shape: tuple[int, int], height: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return height * (1 + np.sin(rows / 9.0) * np.cos(columns / 13.0 + rows / 30.0))


@pytest.mark.parametrize("sigma", [0.02, 1.0, 300.0])
@pytest.mark.parametrize("shape", [(512, 512), (513, 701)])
def test_noise_of_white_noise_within_2_percent(sigma: float, shape: tuple[int, int]) -> None:
    assert noise_std([rng().normal(50, sigma, shape)]) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize("shape", [(512, 512), (513, 701)])
def test_noise_on_structure_within_2_percent(shape: tuple[int, int]) -> None:
    image = smooth_structure(shape, height=100) + rng().normal(0, 10, shape)
    assert image.std() > 40
    assert noise_std([image]) == pytest.approx(10, rel=0.02)
    assert noise_std([(image + 200).round().astype(np.uint16)]) == pytest.approx(10, rel=0.02)


def test_noise_does_not_wrap_in_small_integers() -> None:
    counts = np.clip(rng().normal(128, 30, (512, 512)), 0, 255).round().astype(np.uint8)
    assert noise_std([counts]) == pytest.approx(30, rel=0.02)


def test_noise_of_planes_is_pooled_by_pixels() -> None:
    planes = [rng(1).normal(0, 3, (400, 300)), rng(2).normal(0, 1, (400, 900))]
    assert noise_std(planes) == pytest.approx(np.sqrt((9 + 3) / 4), rel=0.02)


def test_noise_leaves_out_nan_pixels() -> None:
    image = rng().normal(0, 10, (600, 600))
    image[rng(1).random(image.shape) < 0.1] = np.nan
    assert noise_std([image]) == pytest.approx(10, rel=0.02)


def test_noise_leaves_out_infinite_pixels() -> None:
    image = rng().normal(0, 10, (600, 600))
    image[100:104, 100:104] = np.inf
    assert noise_std([image]) == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize(
    "plane", [np.full((8, 8), 5.0), np.zeros((1, 9)), np.full((4, 4), np.nan)], ids=["flat", "line", "nan"]
)
def test_noise_of_nothing_is_zero(plane: np.ndarray) -> None:
    assert noise_std([plane]) == 0
    assert noise_std([]) == 0


@pytest.mark.parametrize("shape", [(8, 12), (11, 9), (3, 20), (1, 5)], ids=str)
def test_block_means_against_a_loop(shape: tuple[int, int]) -> None:
    plane = rng().normal(0, 1, shape)
    plane[0, 0] = np.nan
    side = min(BLOCK, *shape)
    expected = [
        [
            np.nan if np.isnan(block).all() else np.nanmean(block)
            for block in (plane[y : y + side, x : x + side] for x in range(0, shape[1] - side + 1, side))
        ]
        for y in range(0, shape[0] - side + 1, side)
    ]
    np.testing.assert_allclose(block_means(plane), expected)


def test_block_means_do_not_overflow_and_know_empty_blocks() -> None:
    plane = np.full((4, 8), 65535, np.uint16)
    np.testing.assert_array_equal(block_means(plane), [[65535, 65535]])
    spoilt = plane.astype(np.float32)
    spoilt[:, 4:] = [np.nan, np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(block_means(spoilt), [[65535, np.nan]])


def test_fill_non_finite() -> None:
    plane = np.array([[1, 2], [np.nan, 6], [np.inf, -np.inf]], np.float32)
    before = plane.copy()
    np.testing.assert_array_equal(fill_non_finite(plane), [[1, 2], [2, 6], [2, 2]])
    np.testing.assert_array_equal(plane, before)
    np.testing.assert_array_equal(fill_non_finite(np.full((2, 2), np.nan)), np.zeros((2, 2)))
    counts = np.ones((3, 3), np.uint16)
    assert fill_non_finite(counts) is counts


SHAPES = st.tuples(st.integers(1, 3000), st.integers(1, 20_000), st.integers(1, 20_000))


@settings(deadline=None)
@given(shape=SHAPES)
def test_sample_is_bounded_and_inside_the_volume(shape: tuple[int, int, int]) -> None:
    num_planes, height, width = shape
    windows = sample_windows(num_planes, (height, width))
    pixels = 0
    for plane, y, x in windows:
        assert 0 <= plane < num_planes
        assert 0 <= y.start < y.stop <= height
        assert 0 <= x.start < x.stop <= width
        pixels += (y.stop - y.start) * (x.stop - x.start)
    assert min(num_planes * height * width, SAMPLE_PIXELS // 2) <= pixels <= SAMPLE_PIXELS
    assert windows == sample_windows(num_planes, (height, width))


def test_small_channels_are_sampled_whole() -> None:
    everything = [(plane, slice(0, 512), slice(0, 1024)) for plane in range(4)]
    assert sample_windows(4, (512, 1024)) == everything
    assert len(sample_windows(5, (512, 1024))) == SAMPLE_PIXELS // SAMPLE_SIDE**2
    assert sample_windows(0, (10, 10)) == []


def test_large_channels_are_sampled_everywhere() -> None:
    windows = sample_windows(64, (2048, 4096))
    planes, rows, columns = (np.array(list(axis)) for axis in zip(*windows, strict=True))
    assert len(set(planes)) == len(windows) == 32
    assert planes.min() <= 1
    assert planes.max() >= 62
    for slices, length in ((rows, 2048), (columns, 4096)):
        starts = np.sort([window.start for window in slices])
        assert np.diff(starts, prepend=0, append=length - SAMPLE_SIDE).max() < 0.2 * length


@pytest.mark.parametrize("factors", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 4)])
@pytest.mark.parametrize("start", [0, 1])
def test_noise_of_pixels_that_are_drawn_several_times_is_seen(factors: tuple[int, int], start: int) -> None:
    noise = np.random.default_rng(0).normal(0, 3, (128, 128)).repeat(factors[0], 0).repeat(factors[1], 1)
    assert noise_std(unaligned([noise[start:, start:]])) > 1.4


def test_planes_without_noise_are_left_as_they_are() -> None:
    plane = np.ones((8, 8))
    assert unaligned([plane])[0].shape == plane.shape
