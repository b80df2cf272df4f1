"""What results tell of each other, and where a fused one contradicts its frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from baikal_deploy import Denoiser
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.ghosts import ghosts
from baikal_deploy.denoising.neighbours import gate_of, measure_gate, measure_stream_gate, unfused
from baikal_deploy.denoising.probes import Place, Seen, drawn
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.remaining import raised
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.spectrum import Spectrum, autocovariance
from tests.gated import gated
from tests.unit.denoising.conftest import SHAPE, expected


def recipe_of(denoiser: Denoiser, frames: np.ndarray) -> Recipe:
    sampler = make_sampler("matched", {}, {})
    return denoiser.recipe(sampler, denoiser.measure(list(frames), sampler), 0)


def place_of(denoiser: Denoiser, recipe: Recipe, frames: np.ndarray) -> Place:
    found = unfused(denoiser, recipe, frames)
    sides = {"t": (list(found[1::-1]), list(found[3:]))}
    return Place(recipe.measurement.intensity.normalise(frames[2]), found[2], sides)


def test_frames_that_show_the_same_open_the_gate(denoiser: Denoiser, frames: np.ndarray) -> None:
    """What is left of the noise, for a network that knows each pixel alone, is what results differ by."""
    recipe = recipe_of(denoiser, frames)
    gate = measure_gate(denoiser, recipe, [place_of(denoiser, recipe, frames)], "t")
    found = unfused(denoiser, recipe, frames)
    ratio = np.diff(found, axis=0).var() / 2 / recipe.variance(found[2]).mean()
    assert gate.left == pytest.approx(ratio, rel=0.15)
    assert gate.allowed["t"] >= 1
    least, most = gate.gains
    assert most > (least + most) / 2 > 1
    assert Measurement.from_record(replace(recipe.measurement, gate=gate).record()).gate == gate


@pytest.mark.parametrize("shift", [0, 40])
@pytest.mark.parametrize("allowed", [0.2, 0.7, 50.0])
def test_what_fusion_does_to_the_error_is_known_without_the_truth(
    denoiser: Denoiser, frames: np.ndarray, shift: int, allowed: float
) -> None:
    """Of neighbours that show the same, which help, and of others, which harm where the gate is open."""
    others = frames.copy()
    others[[0, 1, 3, 4]] = np.roll(frames[[0, 1, 3, 4]], shift, axis=-1)
    recipe = recipe_of(denoiser, frames)
    place, gate = place_of(denoiser, recipe, others), Gate(0.7, ((0, 0.7),), {"t": allowed / 0.7}, {"t": 1})

    def denoise(planes: np.ndarray) -> np.ndarray:
        return unfused(denoiser, recipe, recipe.measurement.intensity.raw(planes))

    seen = Seen.of(place, recipe, denoise, 0)
    truth = recipe.measurement.intensity.normalise(expected())
    fused = gated(gate, place.own, place.sides, recipe.variance).plane
    before = float(np.mean((place.own - truth) ** 2))
    change = float(np.mean((fused - truth) ** 2)) - before
    assert seen.ready(gate).change(gate).mean() == pytest.approx(change, abs=0.2 * before)
    assert (change > 0) == (shift > 0 and allowed > 1)


def test_noise_that_the_measurement_does_not_know_is_told_by_the_frames(
    denoiser: Denoiser, frames: np.ndarray
) -> None:
    """Such as lines, of which more is left in means over wide windows than of noise that it knows."""
    recipe = recipe_of(denoiser, frames)
    place = place_of(denoiser, recipe, frames)

    def found(place: Place) -> tuple[float, float]:
        seen = Seen.of(place, recipe, lambda planes: unfused(denoiser, recipe, raw(planes)), 0)
        return raised([seen.ready(gate_of([seen], "t"))])

    raw, random = recipe.measurement.intensity.raw, np.random.default_rng(0)
    assert max(found(place)) < 1.5
    before, after = (
        [plane + random.normal(0, 0.4, (SHAPE[0] // 8, 1)).repeat(8, 0).astype(np.float32) for plane in side]
        for side in place.sides["t"]
    )
    squares, means = found(replace(place, sides={"t": (before, after)}))
    assert means > 2 * squares > 2


def test_the_gate_of_a_stream(denoiser: Denoiser, frames: np.ndarray) -> None:
    recipe = recipe_of(denoiser, frames)
    gate = measure_stream_gate(denoiser, recipe, list(frames[:2]))
    whole = measure_gate(denoiser, recipe, [place_of(denoiser, recipe, frames)], "t")
    assert gate.left == pytest.approx(whole.left, rel=0.1)
    assert gate.allowed["t"] > 1
    assert measure_stream_gate(denoiser, recipe, [np.full(SHAPE, 7, np.uint16)]).is_closed


@pytest.mark.parametrize("rows", [0.0, 0.5])
def test_noise_is_drawn_with_its_covariance(rows: float) -> None:
    kernel = ((0.0, 0.1, 0.0), (0.3, 1.0, 0.3), (0.0, 0.1, 0.0))
    spectrum = Spectrum(0.04, kernel, rows)
    white = [np.random.default_rng(i).normal(size=(256, 256)).astype(np.float32) for i in range(8)]
    planes = [drawn(spectrum, plane).astype(float) for plane in white]
    found, _ = autocovariance(planes, [np.ones((256, 256), bool)] * len(planes), (1, 1))
    middle = slice(spectrum.reach - 1, spectrum.reach + 2)
    np.testing.assert_allclose(found, spectrum.covariance(spectrum.reach)[middle, middle], atol=0.004)


def test_a_ghost_is_marked_and_what_the_frame_allows_is_not(denoiser: Denoiser, frames: np.ndarray) -> None:
    recipe, crop = recipe_of(denoiser, frames), Crop.uncut(SHAPE)
    truth = recipe.measurement.intensity.normalise(expected())[None]
    assert ghosts(recipe, frames[2:3], crop, truth).mean() < 0.005
    ghost = truth.copy()
    ghost[:, 40:64, 40:64] += 1
    ghost[:, 100:] = np.nan
    found = ghosts(recipe, frames[2:3], crop, ghost)[0]
    assert found[44:60, 44:60].all()
    assert not found[100:].any()
