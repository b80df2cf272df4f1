"""Normalisation and its exact inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation

SMALL_INTEGERS = ["u1", "i1", "u2", "i2"]
LARGE_INTEGERS = ["u4", "i4", "u8", "i8"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
