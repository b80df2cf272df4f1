"""The noise fields: functions of coordinates, and standard normal."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from baikal_deploy.diffusion.random_field import BLOCK, DeviceNoiseField, NoiseField
from tests.array_engines import TORCH

K = 4.5
"""Standard errors that a measured moment may miss by; the seeds are fixed, so that it never flickers."""
WORDS = st.integers(0, 2**64 - 1)
SIDES = st.integers(1, 2 * BLOCK + 3)
ORIGINS = st.tuples(st.integers(0, 5 * BLOCK), st.integers(0, 5 * BLOCK))

Field = Callable[..., Callable[[int, int], np.ndarray]]
"""(seed, plane, shape, origin) -> (visit, draw) -> noise."""


def on_device(
    seed: int, plane: int, shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> Callable[[int, int], np.ndarray]:
    field = DeviceNoiseField(seed, [plane], shape, TORCH, origin)
    return lambda visit, draw: field(visit, draw)[0, 0].numpy()


FIELDS: dict[str, tuple[Field, int]] = {"host": (NoiseField, 2**64), "device": (on_device, 2**32)}
"""Each with the number of visits and draws that it tells apart."""
host_and_device = pytest.mark.parametrize("kind", FIELDS)


@host_and_device
@settings(deadline=None, max_examples=60)
@given(seed=WORDS, plane=WORDS, origin=ORIGINS, data=st.data())
def test_a_crop_is_the_region_bit_for_bit(
    kind: str, seed: int, plane: int, origin: tuple[int, int], data: st.DataObject
) -> None:
    field, moves = FIELDS[kind]
    visit, draw = data.draw(st.integers(0, moves - 1)), data.draw(st.integers(0, moves - 1))
    height, width = data.draw(SIDES), data.draw(SIDES)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    whole = field(seed, plane, (height, width), origin)(visit, draw)
    at = (origin[0] + top, origin[1] + left)
    crop = field(seed, plane, (bottom - top, right - left), at)(visit, draw)
    assert whole.dtype == crop.dtype == np.float32
    assert whole.shape == (height, width)
    assert np.array_equal(whole[top:bottom, left:right], crop)


@host_and_device
@settings(deadline=None, max_examples=60)
@given(data=st.data(), change=st.lists(st.booleans(), min_size=4, max_size=4).filter(any))
def test_each_coordinate_counts(kind: str, data: st.DataObject, change: list[bool]) -> None:
    """(seed, plane, visit, draw): whichever of them differ, no pixel of the field stays (but by chance)."""
    field, moves = FIELDS[kind]
    coordinates = st.tuples(WORDS, WORDS, st.integers(0, moves - 1), st.integers(0, moves - 1))
    a, b = data.draw(coordinates), data.draw(coordinates)
    other = tuple((y if y != x else x ^ 1) if moved else x for x, y, moved in zip(a, b, change, strict=True))
    fields = [field(seed, plane, (20, 20), (60, 60))(visit, draw) for seed, plane, visit, draw in (a, other)]
    assert (fields[0] == fields[1]).mean() < 0.02
    again = field(a[0], a[1], (20, 20), (60, 60))(a[2], a[3])
    assert np.array_equal(fields[0], again)


@host_and_device
def test_small_coordinates_never_meet(kind: str) -> None:
    """Seed, plane, visit, draw, row and column keep apart: no two blocks of the first few share a field."""
    field, _ = FIELDS[kind]
    first = [
        field(seed, plane, (1, 4), (BLOCK * row, BLOCK * column))(visit, draw).tobytes()
        for seed, plane, visit, draw, row, column in product(range(3), repeat=6)
    ]
    assert len(set(first)) == 3**6


@host_and_device
def test_moments_and_distribution(kind: str) -> None:
    values = FIELDS[kind][0](1, 2, (1024, 1024))(3, 0).astype(np.float64).ravel()
    n = values.size
    assert abs(values.mean()) < K / math.sqrt(n)
    assert abs(values.var() - 1) < K * math.sqrt(2 / n)
    assert abs((values**3).mean()) < K * math.sqrt(15 / n)
    assert abs((values**4).mean() - 3) < K * math.sqrt(96 / n)
    beyond = 2 * stats.norm.sf(4) * n
    assert abs((np.abs(values) > 4).sum() - beyond) < K * math.sqrt(beyond)
    assert stats.kstest(values[::4], "norm").pvalue > 1e-3
    assert stats.kstest(values[1::4], "norm").pvalue > 1e-3


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """In standard errors, for values of unit variance."""
    return float((a.astype(np.float64) * b).mean() * math.sqrt(a.size))


def sizes(field: np.ndarray) -> np.ndarray:
    """Squares, with mean 0 and variance 1: of numbers that are not independent they may correlate alone."""
    return (field.astype(np.float64) ** 2 - 1) / math.sqrt(2)


@host_and_device
def test_neighbouring_pixels_and_blocks_do_not_correlate(kind: str) -> None:
    field = FIELDS[kind][0](4, 0, (1024, 1024))(1, 0)
    for values in (field, sizes(field)):
        for shift in (1, 2, 3, 4, BLOCK - 1, BLOCK, BLOCK + 1):
            assert abs(correlation(values[shift:], values[:-shift])) < K
            assert abs(correlation(values[:, shift:], values[:, :-shift])) < K
            assert abs(correlation(values[shift:, shift:], values[:-shift, :-shift])) < K
    blocks = field.reshape(16, BLOCK, 16, BLOCK)
    means = blocks.mean(axis=(1, 3)).ravel() * BLOCK
    assert stats.kstest(means, "norm").pvalue > 1e-3, "blocks as a whole are independent, too"


@host_and_device
def test_seeds_planes_visits_and_draws_do_not_correlate(kind: str) -> None:
    def field(seed: int = 4, plane: int = 0, visit: int = 1, draw: int = 0) -> np.ndarray:
        return FIELDS[kind][0](seed, plane, (512, 512))(visit, draw)

    others = [
        field(seed=5),
        field(seed=4 + 2**32),
        field(plane=1),
        field(plane=2**32),
        field(visit=2),
        field(draw=1),
        field(draw=2),
        field(visit=0, draw=1),
    ]
    for other in others:
        assert abs(correlation(field(), other)) < K
        assert abs(correlation(sizes(field()), sizes(other))) < K


def test_planes_drawn_together_are_those_drawn_alone() -> None:
    together = DeviceNoiseField(9, [5, 0, 7], (33, 30), TORCH, (3, 5))(2, 1).numpy()
    for plane, field in zip([5, 0, 7], together, strict=True):
        assert np.array_equal(field[0], on_device(9, plane, (33, 30), (3, 5))(2, 1))
