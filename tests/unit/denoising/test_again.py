"""Planes that are denoised once more, averaged with their neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from baikal_deploy import Denoiser
from baikal_deploy.denoising.again import Again, data_of, measured_again
from baikal_deploy.denoising.compared import Result, cells
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.fusion import Fused, Side, fuse
from baikal_deploy.denoising.neighbours import unfused
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.gate import Gate
from tests.unit.denoising.conftest import FRAMES, SHAPE, expected

SAMPLER = make_sampler("matched", {}, {})
OPEN = Gate(0.7, ((0.0, 0.7),), {"t": 4.0}, {"t": 1.0})


@pytest.fixture(scope="module")
def recipe(denoiser: Denoiser, frames: np.ndarray) -> Recipe:
    return denoiser.recipe(SAMPLER, denoiser.measure(list(frames), SAMPLER), 0)


def joined_frames(denoiser: Denoiser, recipe: Recipe, frames: np.ndarray, gate: Gate = OPEN) -> Fused:
    """The middle one of five, with those beside it."""
    crop = Crop.uncut(SHAPE)
    ready = [
        replace(Result.of(plane, recipe.variance(plane), gate), data=data_of(frame, crop, recipe.measurement))
        for plane, frame in zip(unfused(denoiser, recipe, frames), frames, strict=True)
    ]
    sides = [Side(ready[1::-1], gate.allowed["t"], 1.0), Side(ready[3:], gate.allowed["t"], 1.0)]
    return fuse(ready[2], sides)


def flat(number: int) -> Result:
    plane = np.random.default_rng(number).normal(0, 0.1, SHAPE).astype(np.float32)
    return Result(plane, cells(np.full(SHAPE, 0.01, np.float32)), data=3 * plane + 1)


def test_data_are_averaged_with_the_weights_of_the_results() -> None:
    ready = [flat(number) for number in range(FRAMES)]
    hole = ready[3].plane.copy()
    hole[:40] = np.nan
    ready[3] = replace(ready[3], plane=hole)
    found = fuse(ready[0], [Side(ready[1:3], 1.0, 1.0), Side(ready[3:], 1.0, 1.0)])
    assert found.data is not None
    assert found.noise is not None
    assert_allclose(found.data, 3 * found.plane + 1, atol=1e-5)
    assert found.noise[:36].mean() == pytest.approx(1 / 3, rel=0.1)
    assert found.noise[44:].mean() == pytest.approx(1 / 5, rel=0.1)
    assert np.var((found.data - 1)[44:]) == pytest.approx(9 * 0.01 / 5, rel=0.1)


def test_a_plane_without_neighbours_keeps_its_data() -> None:
    own = flat(0)
    found = fuse(own, [])
    assert found.data is own.data
    assert_array_equal(found.noise, 1)
    assert fuse(replace(own, data=None), []).data is None


def test_the_mean_has_the_noise_of_as_many_frames(denoiser: Denoiser, recipe: Recipe) -> None:
    again = denoiser.recipe(SAMPLER, measured_again(recipe.measurement, OPEN), 0)
    assert again.spectrum.std == pytest.approx(recipe.spectrum.std / np.sqrt(FRAMES))
    assert again.measurement.noise is not None
    assert again.measurement.noise.gain == 0
    kernel = ((0.0, 0.2, 0.0), (0.2, 1.0, 0.2), (0.0, 0.2, 0.0))
    assert recipe.measurement.noise is not None
    shared = replace(recipe.measurement.noise, kernel=kernel, correlation=1.2, raised=1.4)
    of_one = replace(recipe.measurement, noise=shared)
    one, mean = (denoiser.recipe(SAMPLER, found, 0) for found in (of_one, measured_again(of_one, OPEN)))
    assert mean.spectrum.kernel == one.spectrum.kernel
    assert mean.spectrum.std == pytest.approx(one.spectrum.std / np.sqrt(FRAMES))


def test_more_is_found_and_the_deviation_is_told(
    denoiser: Denoiser, recipe: Recipe, frames: np.ndarray
) -> None:
    fused, crop = joined_frames(denoiser, recipe, frames), Crop.uncut(SHAPE)
    again = Again.of(denoiser, SAMPLER, recipe, OPEN)
    plane, std = again.denoised(fused, 2, crop, crop, std=True)
    truth = recipe.measurement.intensity.normalise(expected())
    before, after = (float(np.mean((one - truth) ** 2)) for one in (fused.plane, plane))
    assert after < 0.8 * before
    assert std is not None
    told = float(np.mean(std**2)) / recipe.measurement.intensity.half**2
    assert told == pytest.approx(after, rel=0.35)


def test_a_part_is_denoised_again_bit_for_bit(denoiser: Denoiser, recipe: Recipe, frames: np.ndarray) -> None:
    fused, crop = joined_frames(denoiser, recipe, frames), Crop.uncut(SHAPE)
    again = Again.of(denoiser, SAMPLER, recipe, OPEN)
    whole, _ = again.denoised(fused, 2, crop, crop, std=False)
    part = replace(crop, wanted=(slice(20, 60), slice(0, 44)))
    assert_array_equal(again.denoised(fused, 2, crop, part, std=False)[0], whole[20:60, :44])


def test_pixels_without_a_result_stay_so_and_a_closed_gate_changes_none(
    denoiser: Denoiser, recipe: Recipe, frames: np.ndarray
) -> None:
    fused, crop = joined_frames(denoiser, recipe, frames), Crop.uncut(SHAPE)
    hole = fused.plane.copy()
    hole[30:60, 20:50] = np.nan
    fused = replace(fused, plane=hole)
    plane, _ = Again.of(denoiser, SAMPLER, recipe, OPEN).denoised(fused, 2, crop, crop, std=False)
    assert_array_equal(np.isfinite(plane), np.isfinite(hole))
    closed = Again.of(denoiser, SAMPLER, recipe, Gate.closed("t"))
    plane, std = closed.denoised(fused, 2, crop, crop, std=True)
    assert_array_equal(plane, hole)
    assert std is not None


def test_what_is_shown_of_a_plane_is_finite_and_as_bright_as_it_was(
    recipe: Recipe, frames: np.ndarray
) -> None:
    plane = frames[0].astype(np.float32)
    plane[40:50, 40:50] = 50000
    plane[80:90, 10:30] = np.nan
    found = data_of(plane, Crop.uncut(SHAPE), recipe.measurement)
    assert np.isfinite(found).all()
    bright = recipe.measurement.intensity.normalise(np.float32(50000))
    assert_allclose(found[40:50, 40:50], bright, rtol=1e-4)
