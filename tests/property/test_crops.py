"""A whole sampler run does not know of regions, tiles or batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.diffusion.random_field import NoiseField
from baikal_deploy.diffusion.samplers import make_sampler, sampler_names
from baikal_deploy.diffusion.samplers.base import Predict
from baikal_deploy.engines.analytic import Analytic
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes

from .engines import SPEC, Convolutions

MANIFEST = ModelManifest("pointwise", SPEC, "fixed_small", Normalisation(), 8)
SHAPE = (150, 130)
Y = np.random.default_rng(2).normal(-0.3, 0.6, (3, 1, *SHAPE)).astype(np.float32)
WALK = {"start": 150, "steps": "walk5", "runs": 2}
OPTIONS: dict[str, dict[str, object]] = {
    "auto": {"budget": "best"},
    "matched": {"evaluations": 3, "symmetries": 8},
}


def denoised(
    name: str, predict: Predict, y: Planes, planes: Sequence[int], at: tuple[int, int] = (0, 0)
) -> Planes:
    sampler = make_sampler(name, OPTIONS.get(name, WALK), {}).resolved(100.0, 1000, "fixed_large")
    fields = [NoiseField(1, plane, y.shape[2:], at) for plane in planes]

    def noise(visit: int, draw: int) -> Planes:
        return np.stack([field(visit, draw) for field in fields])[:, None]

    return sampler.sample(predict, y, sampler.respace(SPEC.build()), noise)


@pytest.fixture(scope="module")
def results() -> dict[str, Planes]:
    """Of the whole planes, through one window."""
    predict = TiledPredictor(Analytic(MANIFEST), 256, 16, 3).predict
    return {name: denoised(name, predict, Y, range(3)) for name in sampler_names()}


@pytest.mark.parametrize("name", sampler_names())
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_region_is_denoised_bit_for_bit(name: str, results: dict[str, Planes], data: st.DataObject) -> None:
    (top, bottom), (left, right) = (
        sorted(data.draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True)))
        for side in SHAPE
    )
    predict = TiledPredictor(Analytic(MANIFEST), 256, 16, 3).predict
    region = denoised(name, predict, Y[..., top:bottom, left:right], range(3), (top, left))
    assert np.array_equal(region, results[name][..., top:bottom, left:right])


@pytest.mark.parametrize("name", sampler_names())
def test_planes_are_denoised_alone_as_in_a_batch(name: str, results: dict[str, Planes]) -> None:
    predict = TiledPredictor(Analytic(MANIFEST), 256, 16).predict
    for plane in range(3):
        alone = denoised(name, predict, Y[plane : plane + 1], [plane])
        assert np.array_equal(alone[0], results[name][plane])


@pytest.mark.parametrize("name", sampler_names())
@pytest.mark.parametrize("tile", [32, 64, 104])
def test_tiles_leave_no_trace_in_a_run(name: str, tile: int, results: dict[str, Planes]) -> None:
    tiled = denoised(name, TiledPredictor(Analytic(MANIFEST), tile, 16, 2).predict, Y, range(3))
    assert_allclose(tiled, results[name], atol=1e-5)


@pytest.mark.parametrize("name", sampler_names())
def test_tiles_leave_no_trace_in_a_run_of_a_network(name: str) -> None:
    whole = denoised(name, TiledPredictor(Convolutions(8, 3, variance=False), 160, 16).predict, Y, range(3))
    for tile in (48, 96):
        predict = TiledPredictor(Convolutions(8, 3, variance=False), tile, 16, 4).predict
        assert_allclose(denoised(name, predict, Y, range(3)), whole, atol=1e-5)
