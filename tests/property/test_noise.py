"""The noise field: a function of coordinates, and standard normal."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from baikal_deploy.noise import BLOCK, NoiseField

K = 4.5
"""Standard errors that a measured moment may miss by; the seeds are fixed, so that it never flickers."""
WORDS = st.integers(0, 2**64 - 1)
SIDES = st.integers(1, 2 * BLOCK + 3)
ORIGINS = st.tuples(st.integers(0, 5 * BLOCK), st.integers(0, 5 * BLOCK))


@settings(deadline=None, max_examples=60)
@given(seed=WORDS, plane=WORDS, visit=WORDS, draw=WORDS, origin=ORIGINS, data=st.data())
def test_a_crop_is_the_region_bit_for_bit(
    seed: int, plane: int, visit: int, draw: int, origin: tuple[int, int], data: st.DataObject
) -> None:
    height, width = data.draw(SIDES), data.draw(SIDES)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    whole = NoiseField(seed, plane, (height, width), origin)(visit, draw)
    at = (origin[0] + top, origin[1] + left)
    crop = NoiseField(seed, plane, (bottom - top, right - left), at)(visit, draw)
    assert whole.dtype == crop.dtype == np.float32
    assert whole.shape == (height, width)
    assert np.array_equal(whole[top:bottom, left:right], crop)


@settings(deadline=None, max_examples=60)
@given(
    a=st.tuples(WORDS, WORDS, WORDS, WORDS),
    b=st.tuples(WORDS, WORDS, WORDS, WORDS),
    change=st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
)
def test_each_coordinate_counts(
    a: tuple[int, int, int, int], b: tuple[int, int, int, int], change: list[bool]
) -> None:
    """(seed, plane, visit, draw): whichever of them differ, no pixel of the field stays (but by chance)."""
    other = tuple((y if y != x else x ^ 1) if moved else x for x, y, moved in zip(a, b, change, strict=True))
    fields = [
        NoiseField(seed, plane, (20, 20), (60, 60))(visit, draw) for seed, plane, visit, draw in (a, other)
    ]
    assert (fields[0] == fields[1]).mean() < 0.02
    again = NoiseField(a[0], a[1], (20, 20), (60, 60))(a[2], a[3])
    assert np.array_equal(fields[0], again)


def test_small_coordinates_never_meet() -> None:
    """Seed, plane, visit, draw, row and column keep apart: no two blocks of the first few share a field."""
    first = [
        NoiseField(seed, plane, (1, 4), (BLOCK * row, BLOCK * column))(visit, draw).tobytes()
        for seed, plane, visit, draw, row, column in product(range(3), repeat=6)
    ]
    assert len(set(first)) == 3**6


def test_moments_and_distribution() -> None:
    field = NoiseField(1, 2, (1024, 1024))(3, 0).astype(np.float64).ravel()
    n = field.size
    assert abs(field.mean()) < K / math.sqrt(n)
    assert abs(field.var() - 1) < K * math.sqrt(2 / n)
    assert abs((field**3).mean()) < K * math.sqrt(15 / n)
    assert abs((field**4).mean() - 3) < K * math.sqrt(96 / n)
    assert stats.kstest(field[::4], "norm").pvalue > 1e-3


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """In standard errors."""
    return float((a.astype(np.float64) * b).mean() * math.sqrt(a.size))


def test_neighbouring_pixels_and_blocks_do_not_correlate() -> None:
    field = NoiseField(4, 0, (1024, 1024))(1, 0)
    for shift in (1, 2, BLOCK - 1, BLOCK, BLOCK + 1):
        assert abs(correlation(field[shift:], field[:-shift])) < K
        assert abs(correlation(field[:, shift:], field[:, :-shift])) < K
        assert abs(correlation(field[shift:, shift:], field[:-shift, :-shift])) < K
    blocks = field.reshape(16, BLOCK, 16, BLOCK)
    means = blocks.mean(axis=(1, 3)).ravel() * BLOCK
    assert stats.kstest(means, "norm").pvalue > 1e-3, "blocks as a whole are independent, too"


def test_draws_visits_and_planes_do_not_correlate() -> None:
    def field(seed: int = 4, plane: int = 0, visit: int = 1, draw: int = 0) -> np.ndarray:
        return NoiseField(seed, plane, (512, 512))(visit, draw)

    others = [
        field(seed=5),
        field(plane=1),
        field(visit=2),
        field(draw=1),
        field(draw=2),
        field(visit=0, draw=1),
    ]
    for other in others:
        assert abs(correlation(field(), other)) < K
