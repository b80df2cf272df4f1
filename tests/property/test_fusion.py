"""Fusing results: what is the same is averaged, what differs is left alone, and nothing knows of tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from baikal_deploy.denoising.compared import Result, cells, filled
from baikal_deploy.denoising.fusion import Fused, Side, fuse
from baikal_deploy.denoising.regions import results_around
from baikal_deploy.denoising.running import MOST_FRAMES, Running
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.surroundings import base
from baikal_deploy.pixels.arrays import Plane
from tests.gated import gated

SHAPE = (120, 104)
NOISE = 0.1


def scene(seed: int = 0) -> Plane:
    """Something smooth, on the network's scale."""
    rows, columns = np.indices(SHAPE)
    return np.sin(rows / 9 + seed) * np.cos(columns / (7 + seed)).astype(np.float32) * np.float32(0.8)


def noisy(number: int, of: Plane) -> Plane:
    noise = np.random.default_rng(number).normal(0, NOISE, of.shape)
    return (of + noise).astype(np.float32)


def result(plane: Plane, q: float = NOISE**2) -> Result:
    return Result(plane, cells(np.full(SHAPE, q, np.float32)))


def fused(own: Plane, sides: Sequence[Sequence[Plane]], q: float = NOISE**2, coarse: float = 1.0) -> Fused:
    found = [Side([result(plane, q) for plane in side], 1.0, coarse) for side in sides]
    return fuse(result(own, q), found)


def two_sided(own: Plane, before: Sequence[Plane], after: Sequence[Plane], q: float = NOISE**2) -> Plane:
    return fused(own, [before, after], q).plane


def gate_with(allowed: float, *shares: tuple[float, float]) -> Gate:
    return Gate(0.1, shares or ((0.0, 1.0),), {"t": allowed}, {"t": 1.0})


def test_planes_that_are_the_same_are_averaged() -> None:
    still = scene()
    frames = [noisy(number, still) for number in range(5)]
    found = fused(frames[2], [frames[1::-1], frames[3:]])
    assert np.std(found.plane - still) == pytest.approx(NOISE / np.sqrt(5), rel=0.1)
    assert found.share.mean() == pytest.approx(1 / 5, rel=0.2)
    assert found.plane.dtype == np.float32


def test_identical_planes_stay_what_they_are_to_the_last_bit() -> None:
    plane = noisy(0, scene())
    assert_array_equal(two_sided(plane, [plane, plane], [plane]), plane)


def test_a_change_is_left_alone() -> None:
    """A spot that is there in one frame: hardly any of it is lost, and none of it is seen before."""
    still, spot = scene(), np.zeros(SHAPE, np.float32)
    spot[50:66, 40:56] = 1
    frames = [noisy(number, still) for number in range(3)]
    frames[1] = frames[1] + spot
    lost = (frames[1] - two_sided(frames[1], frames[:1], frames[2:]))[52:64, 42:54].mean()
    leaked = (two_sided(frames[0], [], [frames[1]]) - frames[0])[52:64, 42:54].mean()
    assert abs(lost) < 0.08
    assert abs(leaked) < 0.05


def test_what_differs_by_far_gives_nothing_at_all() -> None:
    """Small weights would add up to a ghost of a flash in the frames around it."""
    frames = [noisy(number, scene()) for number in range(2)]
    frames[1][40:80, 30:70] += 1
    inside = np.s_[50:70, 40:60]
    for least in (0.0, 0.1):
        found = fuse(result(frames[0]), [Side([result(frames[1])], 1.0, 1.0, least)]).plane
        assert (found[inside] == frames[0][inside]).all() == (least > 0)


def test_what_becomes_brighter_as_a_whole_is_told_sooner() -> None:
    """Noise of neighbouring pixels averages out in the means over windows."""
    still = scene()
    frames = [noisy(number, still) for number in range(2)]
    brighter = frames[1] + np.float32(NOISE)
    shares = [fused(brighter, [frames[:1]], coarse=coarse).share.mean() for coarse in (1.0, 0.02)]
    assert shares[1] > shares[0] + 0.05
    alike = [fused(frames[1], [frames[:1]], coarse=coarse).share.mean() for coarse in (1.0, 0.02)]
    assert alike[1] - alike[0] < 0.1


def test_a_gate_that_is_closed_changes_no_bit() -> None:
    frames = [noisy(number, scene()) for number in range(3)]
    sides = {"t": (frames[:1], frames[2:])}
    found = gated(gate_with(0.0), frames[1], sides, np.ones_like)
    assert_array_equal(found.plane, frames[1])
    assert_array_equal(found.share, 1)


def test_without_noise_nothing_is_taken_over() -> None:
    assert_array_equal(two_sided(scene(), [scene(1)], [], q=0.0), scene())


@given(order=st.permutations(range(4)))
@settings(deadline=None, max_examples=10)
def test_the_order_of_the_sides_does_not_matter(order: list[int]) -> None:
    frames = [noisy(number, scene()) for number in range(5)]
    sides = [[frames[number + 1]] for number in range(4)]
    expected = fused(frames[0], sides).plane
    found = fused(frames[0], [sides[number] for number in order]).plane
    assert_allclose(found, expected, atol=1e-6)


@given(offset=st.floats(-3, 3), factor=st.floats(0.01, 100))
@settings(deadline=None, max_examples=20)
def test_units_do_not_matter(offset: float, factor: float) -> None:
    frames = [noisy(number, scene()) for number in range(3)]
    expected = two_sided(frames[1], frames[:1], frames[2:])
    other = [(frame * factor + offset).astype(np.float32) for frame in frames]
    found = two_sided(other[1], other[:1], other[2:], q=NOISE**2 * factor**2)
    assert_allclose((found - offset) / factor, expected, atol=1e-3 * max(1, 1 / factor))


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_pixels_without_a_result_give_and_take_nothing(nothing: float) -> None:
    still = scene()
    frames = [noisy(number, still) for number in range(3)]
    holes = [frame.copy() for frame in frames]
    holes[0][10:30] = nothing
    holes[1][60:80] = nothing
    found = two_sided(holes[1], holes[:1], holes[2:])
    assert_array_equal(np.isfinite(found), np.isfinite(holes[1]))
    far = np.r_[100:120]
    assert_array_equal(found[far], two_sided(frames[1], frames[:1], frames[2:])[far])
    assert_allclose(found[12:28], two_sided(frames[1], [], frames[2:])[12:28], atol=0.2)
    assert np.std((found - still)[12:28]) < 0.8 * NOISE


def test_nothing_is_taken_from_beyond_a_gap() -> None:
    """A frame between holds no result at some pixels: the one behind it does not count there."""
    frames = [noisy(number, scene()) for number in range(3)]
    gap = frames[1].copy()
    gap[:60] = np.nan
    found = two_sided(frames[0], [], [gap, frames[2]])
    assert_array_equal(found[:60], frames[0][:60])
    assert (found[80:] != frames[0][80:]).all()


def test_filling_in_changes_no_result() -> None:
    plane = scene()
    plane[5:9, 7:30] = np.nan
    found = filled(plane)
    assert np.isfinite(found).all()
    assert_array_equal(found[np.isfinite(plane)], plane[np.isfinite(plane)])
    assert np.abs(found - scene())[5:9, 7:30].max() < 0.5
    assert filled(np.full(SHAPE, np.nan, np.float32)).max() == 0


@given(
    top=st.integers(0, 29), left=st.integers(0, 25), height=st.integers(1, 8), width=st.integers(1, 8),
    holes=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_a_region_is_fused_bit_for_bit(top: int, left: int, height: int, width: int, holes: bool) -> None:
    """Read with what is around it, its pixels are those of the whole plane."""
    frames = [noisy(number, scene(number)) for number in range(3)]
    if holes:
        frames[1][30:44, 20:50] = np.nan
        frames[2][70:90] = np.nan
    y, x = (
        slice(4 * start, min(4 * (start + length), side))
        for start, length, side in zip((top, left), (height, width), SHAPE, strict=True)
    )
    region = y, x
    crop = results_around(region, SHAPE)

    def of(planes: Sequence[Plane]) -> Plane:
        gate = gate_with(1.0, (0.5, 0.2), (1.5, 1.0), (4.0, 1.5))
        sides = {"t": (planes[:1], planes[2:])}
        return gated(gate, planes[1], sides, lambda plane: NOISE**2 * np.exp(base(plane))).plane

    part = of([np.ascontiguousarray(frame[crop.read]) for frame in frames])
    assert_array_equal(crop.trimmed(part[None])[0], of(frames)[region])


def test_a_stream_that_stays_gets_as_clean_as_the_frames_it_counts_for() -> None:
    still = scene()
    state = Running.first(result(noisy(0, still)))
    for number in range(1, 25):
        state = state.after(result(noisy(number, still)), 1.0, 1.0)
    assert state.frames.max() <= MOST_FRAMES
    assert np.std(state.estimate.plane - still) < 0.5 * NOISE


def test_a_stream_follows_another_scene_at_once() -> None:
    state = Running.first(result(noisy(0, scene())))
    for number in range(1, 6):
        state = state.after(result(noisy(number, scene())), 1.0, 1.0)
    assert not state.is_another_scene
    other = 1 - scene(3)
    state = state.after(result(noisy(9, other)), 1.0, 1.0)
    assert state.is_another_scene
    assert np.std(state.estimate.plane - other) < 1.1 * NOISE


def test_a_stream_takes_nothing_from_pixels_without_a_result() -> None:
    first, second = noisy(0, scene()), noisy(1, scene())
    first[:50] = np.nan
    state = Running.first(result(first)).after(result(second), 1.0, 1.0)
    assert_array_equal(state.estimate.plane[:50], second[:50])
    assert (state.estimate.plane[70:] != second[70:]).any()


def test_more_noise_is_left_where_there_is_structure() -> None:
    """What two results may differ by follows the one that shows less."""
    spot = np.zeros(SHAPE, np.float32)
    spot[50:66, 40:56] = 0.2
    gate = gate_with(1.0, (0.3, 0.01), (0.5, 1.0))
    flat, lively = (Result.of(plane, np.full(SHAPE, 0.1, np.float32), gate) for plane in (0 * spot, spot))
    assert lively.left[13, 10] > 50 * lively.left[1, 1]
    assert_allclose(lively.left[1, 1], flat.left[13, 10])
    found = fuse(lively, [Side([flat], 1.0, 1.0)]).plane
    assert_allclose(found[52:64, 42:54], 0.2, atol=0.02)
