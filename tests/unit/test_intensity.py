"""Normalisation and its inverse, the sample of a channel, and its noise level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from baikal_deploy.errors import ConfigError
from baikal_deploy.intensity import (
    BLOCK,
    SAMPLE_PIXELS,
    SAMPLE_SIDE,
    IntensityMap,
    Normalisation,
    block_means,
    fill_non_finite,
    noise_std,
    sample_windows,
)

SMALL_INTEGERS = ["u1", "i1", "u2", "i2"]
LARGE_INTEGERS = ["u4", "i4", "u8", "i8"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def smooth_structure(shape: tuple[int, int], height: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return height * (1 + np.sin(rows / 9.0) * np.cos(columns / 13.0 + rows / 30.0))


@pytest.mark.parametrize("dtype", SMALL_INTEGERS)
@settings(deadline=None)
@given(data=st.data())
def test_small_integers_come_back_exactly(dtype: str, data: st.DataObject) -> None:
    raw = data.draw(hnp.arrays(dtype, 20))
    low = data.draw(st.floats(-1000, 60_000))
    intensity = IntensityMap(low, low + data.draw(st.floats(1, 70_000)))
    x = intensity.normalise(raw)
    assert x.dtype == np.float32
    back = intensity.denormalise(x, dtype)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, raw)


@pytest.mark.parametrize("dtype", LARGE_INTEGERS)
@settings(deadline=None)
@given(data=st.data())
def test_large_integers_come_back_to_float32_precision(dtype: str, data: st.DataObject) -> None:
    raw = data.draw(hnp.arrays(dtype, 20))
    intensity = IntensityMap(-7.5, 1e6)
    back = intensity.denormalise(intensity.normalise(raw), dtype)
    assert back.dtype == dtype
    error = np.abs(back.astype(np.float64) - raw.astype(np.float64))
    assert (error <= 1 + 2e-7 * (np.abs(raw.astype(np.float64)) + 1e6)).all()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_floats_come_back_unrounded(dtype: str) -> None:
    raw = rng().uniform(-3, 9, (6, 7)).astype(dtype)
    intensity = IntensityMap(0.25, 4.75)
    back = intensity.denormalise(intensity.normalise(raw), dtype)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_allclose(back, raw, rtol=2e-3 if dtype == "f2" else 1e-6, atol=1e-6)
    assert (back != np.rint(back)).any()


def test_low_and_high_map_to_minus_one_and_one_and_nothing_is_clipped() -> None:
    x = IntensityMap(100, 300).normalise(np.array([[100, 200, 300, 500, 0]], np.uint16))
    np.testing.assert_array_equal(x, [[-1, 0, 1, 3, -2]])


@pytest.mark.parametrize("dtype", [*SMALL_INTEGERS, *LARGE_INTEGERS, ">u2"])
@pytest.mark.parametrize("magnitude", [1e4, 1e12, 3e38, np.inf])
def test_integers_are_clamped_and_never_wrap(dtype: str, magnitude: float) -> None:
    limits = np.iinfo(dtype)
    huge = IntensityMap(0, float(2**54))
    low, high = huge.denormalise(np.array([-magnitude, magnitude], np.float32), dtype)
    assert low == limits.min
    # The largest float64 below 2**64 is 2048 below it.
    assert limits.max - 2048 * (limits.bits == 64) <= high <= limits.max


@pytest.mark.parametrize("dtype", [*SMALL_INTEGERS, *LARGE_INTEGERS])
@settings(deadline=None)
@given(
    x=hnp.arrays(np.float32, 30, elements=st.floats(-(2.0**66), 2.0**66, width=32)),
    high=st.floats(1, 2.0**63),
)
def test_brighter_never_becomes_darker(dtype: str, x: np.ndarray, high: float) -> None:
    raw = IntensityMap(0, high).denormalise(np.sort(x), dtype)
    assert (raw[1:] >= raw[:-1]).all()


def test_integers_are_rounded_to_the_nearest() -> None:
    x = np.array([-1.0, -0.6, -0.4, 0.4, 0.6, 1.4], np.float32)  # raw 0, 0.4, 0.6, 1.4, 1.6, 2.4
    np.testing.assert_array_equal(IntensityMap(0, 2).denormalise(x, np.uint8), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(IntensityMap(-2, 0).denormalise(-x, np.int8), [0, 0, -1, -1, -2, -2])


def test_sigma_is_scaled_but_not_shifted() -> None:
    assert IntensityMap(1000, 1400).normalised_sigma(100) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("low", "high", "constant"), [(0, 1, False), (1, 1, True), (0, 0, True), (np.nan, np.nan, True)]
)
def test_is_constant(low: float, high: float, constant: bool) -> None:
    assert IntensityMap(low, high).is_constant is constant


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "u8"])
def test_percentiles_are_those_of_numpy_over_all_planes(dtype: str) -> None:
    planes = [(rng(seed).gamma(2, 20, (40 + seed, 31))).astype(dtype) for seed in range(3)]
    found = Normalisation(3, 99.5).of(planes)
    everything = np.concatenate([plane.ravel() for plane in planes]).astype(np.float64)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(everything, [3, 99.5])))


def test_percentiles_leave_out_what_is_not_finite() -> None:
    plane = rng().normal(5, 1, (20, 20))
    spoilt = np.concatenate(
        [plane, np.full((3, 20), np.nan), np.full((3, 20), np.inf), -np.full((3, 20), np.inf)]
    )
    assert Normalisation().of([spoilt]) == Normalisation().of([plane])


def test_coinciding_percentiles_fall_back_to_the_whole_range() -> None:
    plane = np.full((100, 100), 7, np.uint16)
    plane[0, :5] = 900
    assert Normalisation().of([plane]) == IntensityMap(7, 900)


def test_images_without_a_range_are_constant() -> None:
    assert Normalisation().of([np.full((9, 9), 4, np.uint8)]) == IntensityMap(4, 4)
    assert Normalisation().of([np.full((9, 9), np.nan)]).is_constant


@pytest.mark.parametrize(("low", "high"), [(-1, 50), (50, 50), (60, 50), (1, 101), (np.nan, 50)])
def test_disordered_percentiles_are_refused(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="not ordered"):
        Normalisation(low, high)


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
