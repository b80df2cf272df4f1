from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.pyramid import downsample, pyramid_levels

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def exact_mean(plane: NDArray[Any]) -> list[list[Fraction]]:
    height, width = plane.shape
    return [
        [_mean([Fraction(plane[i, j].item()) for i in rows for j in columns]) for columns in _pairs(width)]
        for rows in _pairs(height)
    ]


def _pairs(size: int) -> list[range]:
    return [range(i, min(i + 2, size)) for i in range(0, size, 2)]


def _mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


@settings(deadline=None)
@given(st.data(), st.sampled_from(INTEGERS))
def test_integers_become_the_mean_of_what_exists_rounded_half_up(data: st.DataObject, dtype: str) -> None:
    shape = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 5))
    limits = np.iinfo(dtype)
    extremes = st.sampled_from([limits.min, limits.max, limits.max - 1])
    planes = data.draw(hnp.arrays(dtype, shape, elements=extremes | hnp.from_dtype(np.dtype(dtype))))
    smaller = downsample(planes)
    assert smaller.dtype == planes.dtype
    for got, plane in zip(smaller, planes, strict=True):
        expected = [[floor(v + Fraction(1, 2)) for v in row] for row in exact_mean(plane)]
        assert got.tolist() == expected


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_real_numbers_become_the_mean_without_overflow(dtype: str) -> None:
    largest = np.finfo(dtype).max
    planes = np.array([[[1, 2, 5], [3, 6, 7], [largest, largest, 9]]], dtype=dtype)
    smaller = downsample(planes)
    assert smaller.dtype == dtype
    np.testing.assert_array_equal(smaller, np.array([[[3, 6], [largest, 9]]], dtype=dtype))


def test_levels_halve_until_both_sides_are_small() -> None:
    assert [level.plane_shape for level in pyramid_levels((263, 1025))] == [
        (263, 1025),
        (132, 513),
        (66, 257),
        (33, 129),
        (17, 65),
    ]
    assert [level.plane_shape for level in pyramid_levels((128, 128))] == [(128, 128)]


@given(st.integers(1, 1200), st.integers(1, 1200))
def test_levels_have_the_shapes_that_downsampling_gives(height: int, width: int) -> None:
    levels = pyramid_levels((height, width))
    assert max(levels[-1].plane_shape) <= 128
    planes = np.zeros((1, height, width), np.uint8)
    for level in levels[1:]:
        planes = downsample(planes)
        assert planes.shape[1:] == level.plane_shape


def test_scale_and_translation_follow_pixel_centres(make_info: Callable[..., VolumeInfo]) -> None:
    info = make_info("zyx", (4, 1024, 512), scale=(2.0, 0.5, 0.25), translation=(7.0, 10.0, 20.0))
    level = pyramid_levels(info.plane_shape)[2]
    assert level.scale(info) == (2.0, 2.0, 1.0)
    assert level.translation(info) == (7.0, 10.0 + 1.5 * 0.5, 20.0 + 1.5 * 0.25)


def test_the_level_of_a_ramp_of_coordinates_holds_its_own_coordinates(
    make_info: Callable[..., VolumeInfo],
) -> None:
    info = make_info("yx", (512, 1024), "f8", scale=(0.5, 0.25), translation=(3.0, -1.0))
    x = info.translation[1] + info.scale[1] * np.arange(1024)
    planes = np.broadcast_to(x, (1, 512, 1024))
    for level in pyramid_levels(info.plane_shape)[1:]:
        planes = downsample(planes)
        width = level.plane_shape[1]
        expected = level.translation(info)[1] + level.scale(info)[1] * np.arange(width)
        np.testing.assert_allclose(planes[0, 0], expected, rtol=0, atol=1e-12)


def test_an_axis_of_one_pixel_keeps_its_scale(make_info: Callable[..., VolumeInfo]) -> None:
    info = make_info("yx", (1, 300), scale=(0.5, 0.25))
    last = pyramid_levels(info.plane_shape)[-1]
    assert last.scale(info) == (0.5, 1.0)
    assert last.translation(info) == (0.0, 0.375)
