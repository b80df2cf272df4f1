"""Tiled prediction: results that do not know of the tiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Planes

from .engines import Convolutions


@pytest.mark.parametrize(("tile", "overlap"), [(7, 0), (0, 0), (-8, 0), (64, 33), (64, -1), (8, 4), (15, 1)])
def test_impossible_tiles_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match=r"tile|overlap"):
        TiledPredictor(Convolutions(8, 1), tile, overlap)


def test_impossible_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch 0"):
        TiledPredictor(Convolutions(8, 1), 64, 8, 0)


def planes(shape: tuple[int, int], count: int = 1) -> Planes:
    rng = np.random.default_rng((*shape, count))
    return rng.normal(size=(count, 1, *shape)).astype(np.float32)


def mirrored(side: int, factor: int) -> list[int]:
    """Where each pixel of a padded axis comes from: reflected without repeating the last pixel."""
    period = max(2 * (side - 1), 1)
    return [
        min(i % period, period - i % period) if side > 1 else 0 for i in range(-(-side // factor) * factor)
    ]


def whole(engine: Convolutions, x: Planes, t: float) -> tuple[Planes, Planes]:
    """The network over the whole plane at once."""
    rows, columns = (mirrored(side, engine.manifest.downsampling) for side in x.shape[2:])
    eps, v = engine.predict(x[:, :, rows][:, :, :, columns], t)
    assert v is not None
    return eps[..., : x.shape[2], : x.shape[3]], v[..., : x.shape[2], : x.shape[3]]


@st.composite
def exact_tilings(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(factor, radius, tile, overlap) for which 3/8 of the overlap reach as far as the network."""
    factor, radius = draw(st.sampled_from([1, 2, 8])), draw(st.integers(0, 4))
    overlap = -(-math.ceil(radius * 8 / 3) // factor) * factor + factor * draw(st.integers(0, 1))
    tile = draw(st.integers(max(2 * overlap, factor), 2 * overlap + 60))
    return factor, radius, tile, overlap


@settings(deadline=None, max_examples=150)
@given(
    exact_tilings(), st.tuples(st.integers(1, 130), st.integers(1, 130)), st.integers(1, 3), st.integers(1, 5)
)
@example((8, 4, 32, 16), (1, 1), 1, 1)
@example((8, 3, 32, 8), (2, 3), 2, 3)
@example((8, 3, 32, 8), (100, 1), 1, 2)
def test_windows_leave_no_trace(
    tiling: tuple[int, int, int, int], shape: tuple[int, int], count: int, batch: int
) -> None:
    factor, radius, tile, overlap = tiling
    engine = Convolutions(factor, radius)
    x = planes(shape, count)
    expected = whole(engine, x, 321.0)
    engine.shapes.clear()
    eps, v = TiledPredictor(engine, tile, overlap, batch).predict(x, 321.0)
    assert eps.dtype == np.float32
    assert eps.shape == x.shape
    assert v is not None
    assert_allclose(eps, expected[0], atol=1e-5)
    assert_allclose(v, expected[1], atol=1e-5)
    assert {shape[0] for shape in engine.shapes} == {batch}, "vendor kernels see one batch shape only"
    assert len(set(engine.shapes)) == 1


def test_too_little_overlap_does_leave_a_trace() -> None:
    """The bound is sharp: the engine above would notice."""
    engine, x = Convolutions(1, 3), planes((96, 96))
    expected, _ = whole(engine, x, 5.0)
    for overlap, traces in ((0, True), (4, True), (8, False)):
        found = np.abs(TiledPredictor(engine, 40, overlap).predict(x, 5.0)[0] - expected).max()
        assert (found > 1e-4) == traces


def test_batch_size_changes_no_bit() -> None:
    engine, x = Convolutions(8, 3), planes((90, 75), 3)
    first = TiledPredictor(engine, 40, 16, 1).predict(x, 77.0)
    for batch in (2, 5, 64):
        other = TiledPredictor(engine, 40, 16, batch).predict(x, 77.0)
        np.testing.assert_equal(other, first)


def test_planes_do_not_know_of_each_other() -> None:
    engine, x = Convolutions(8, 3), planes((90, 75), 3)
    predictor = TiledPredictor(engine, 40, 16, 4)
    together, _ = predictor.predict(x, 77.0)
    for plane in range(3):
        assert np.array_equal(together[plane], predictor.predict(x[plane : plane + 1], 77.0)[0][0])


def test_an_engine_without_variance_stays_without() -> None:
    for tile in (64, 200):
        _, v = TiledPredictor(Convolutions(8, 2, variance=False), tile, 16).predict(planes((150, 90)), 1.0)
        assert v is None


@pytest.mark.parametrize(
    ("batch", "planes", "windows", "together", "at_once"),
    [(25, 1, 1, 1, 1), (25, 100, 1, 25, 25), (25, 100, 9, 2, 18), (4, 100, 25, 1, 4), (8, 3, 2, 3, 6)],
)
def test_a_call_has_no_more_windows_than_there_are(
    batch: int, planes: int, windows: int, together: int, at_once: int
) -> None:
    fitted = TiledPredictor(Convolutions(8, 1), 64, 8, batch).fitted(planes, windows)
    assert (fitted.planes, fitted.batch) == (together, at_once)


def test_one_plane_is_computed_once_whatever_the_batch() -> None:
    engine = Convolutions(8, 1)
    TiledPredictor(engine, 64, 8, batch=25).fitted(1, 4).predict(planes((100, 100)), 3.0)
    assert [shape[0] for shape in engine.shapes] == [4]
