"""Tile plans: windows that cover, overlap and lie on the grid, and weights that sum to 1."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from baikal_deploy.denoising.windows import AxisPlan, TilePlan
from baikal_deploy.errors import ConfigError

FACTORS = st.sampled_from([1, 2, 8, 16])


@st.composite
def axis_arguments(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(length, tile, overlap, factor) as AxisPlan takes them: multiples, overlap at most half a tile."""
    factor = draw(FACTORS)
    tile = draw(st.integers(2, 20))
    overlap = draw(st.integers(0, tile // 2))
    return draw(st.integers(1, 120)) * factor, tile * factor, overlap * factor, factor


@settings(deadline=None, max_examples=300)
@given(axis_arguments())
def test_windows_of_an_axis(arguments: tuple[int, int, int, int]) -> None:
    length, tile, overlap, factor = arguments
    plan = AxisPlan.fit(*arguments)
    assert plan.length == length
    assert plan.window <= tile
    assert plan.origins[0] == 0
    assert plan.origins[-1] + plan.window == length
    assert all(origin % factor == 0 for origin in (*plan.origins, plan.window))
    for left, right in pairwise(plan.origins):
        assert left < right
        assert left + plan.window - right >= overlap
    fewest = 1 if length <= tile else math.ceil((length - overlap) / (tile - overlap))
    assert len(plan.origins) == fewest


@settings(deadline=None, max_examples=300)
@given(axis_arguments())
def test_weights_of_an_axis_sum_to_one(arguments: tuple[int, int, int, int]) -> None:
    plan = AxisPlan.fit(*arguments)
    weights, total = plan.weights(), np.zeros(plan.length)
    for origin, row in zip(plan.origins, weights, strict=True):
        total[origin : origin + plan.window] += row
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    assert_allclose(total, 1, atol=1e-6)


@settings(deadline=None, max_examples=300)
@given(axis_arguments())
def test_the_outer_three_eighths_of_an_overlap_count_nothing(arguments: tuple[int, int, int, int]) -> None:
    plan = AxisPlan.fit(*arguments)
    weights = plan.weights()
    for i, (left, right) in enumerate(pairwise(plan.origins)):
        outer = math.floor(3 / 8 * (left + plan.window - right))
        assert not weights[i + 1, :outer].any()
        assert not weights[i, plan.window - outer :].any()


@settings(deadline=None, max_examples=200)
@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), st.integers(1, 200), st.integers(0, 100), FACTORS)
def test_windows_and_weights_of_a_plane(shape: tuple[int, int], tile: int, overlap: int, factor: int) -> None:
    assume(tile >= factor and overlap <= tile // 2)
    assume(-(-overlap // factor) < tile // factor)
    plan = TilePlan.fit(shape, tile, overlap, factor)
    total = np.zeros((plan.y.length, plan.x.length))
    alone = np.zeros(total.shape, bool)
    for window, parts in zip(plan.windows, plan.parts(), strict=True):
        assert total[window].shape == (plan.y.window, plan.x.window)
        for part in parts:
            weights = 1 if part.column is None else part.column * part.row
            total[window][part.place] += weights
            alone[window][part.place] |= part.column is None
    assert_allclose(total, 1, atol=1e-6)
    assert (total[alone] == 1).all(), "a part without weights is put over what others left"
    padded = (shape[0] + plan.padding[0], shape[1] + plan.padding[1])
    assert padded == total.shape
    for side, padding, axis in zip(padded, plan.padding, (plan.y, plan.x), strict=True):
        assert side % factor == 0
        assert 0 <= padding < factor
        assert axis.window <= tile
        assert all(a + axis.window - b >= overlap for a, b in pairwise(axis.origins))


@settings(deadline=None, max_examples=300)
@example((200, 200), 64, 1, 64)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)), st.integers(-1, 200), st.integers(-1, 120), FACTORS
)
def test_any_tile_and_overlap_fit_or_are_refused(
    shape: tuple[int, int], tile: int, overlap: int, factor: int
) -> None:
    """Where rounding to the network's grid leaves no room between windows, a ConfigError has to say so."""
    try:
        plan = TilePlan.fit(shape, tile, overlap, factor)
    except ConfigError:
        return
    assert max(plan.y.window, plan.x.window) <= tile
