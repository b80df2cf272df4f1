"""What is taken for unfilled, hot or dead, and what is not."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray

from baikal_deploy.measurement.blank import Fill, blank
from baikal_deploy.measurement.screen import Screen
from baikal_training.camera import Camera
from baikal_training.simulate import simulate

KINDS = ("nuclei", "tribolium", "flywing")


def wrong(planes: list[NDArray[np.uint16]]) -> tuple[int, int]:
    """Unfilled pixels, and defects, of planes of one channel."""
    screen = Screen.of(planes)
    found = [screen.screened(plane) for plane in planes]
    masks = [one.unfilled for one in found], [one.defects for one in found]
    unfilled, defects = (sum(0 if mask is None else int(mask.sum()) for mask in each) for each in masks)
    return unfilled, defects


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [18.0, 9.0])
def test_nothing_is_wrong_with_simulated_planes(kind: str, level: float) -> None:
    clean = simulate(kind, (1, 4, 128, 128), 31)[0]
    assert wrong(list(Camera.at_psnr(clean, level).expose(clean, 3))) == (0, 0)


@pytest.mark.parametrize("photons", [0.03, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("gain", [1, 50])
def test_few_photons_are_neither(photons: float, gain: int) -> None:
    clean = simulate("nuclei", (1, 2, 128, 128), 32)[0]
    counts = np.random.default_rng(1).poisson(photons * (0.2 + 4 * clean)) * gain
    assert wrong(list(counts.astype(np.uint16))) == (0, 0)


def test_infinite_pixels_say_nothing() -> None:
    plane = np.random.default_rng(2).normal(100, 5, (64, 64))
    plane[:4], plane[20, 20] = np.inf, np.nan
    screened = Screen.of([plane]).screened(plane)
    assert screened.unfilled is not None
    np.testing.assert_array_equal(screened.unfilled, ~np.isfinite(plane))
    assert np.isfinite(screened.plane).all()


def test_a_record_gives_the_same_screen() -> None:
    plane = np.random.default_rng(2).poisson(100, (64, 64)).astype(np.uint16)
    plane[:4], plane[30, 30] = 0, 4000
    screen = Screen.of([plane])
    assert Screen.from_record(asdict(screen)) == screen


def test_a_band_inside_is_a_defect_and_at_the_border_unfilled() -> None:
    plane, fill = np.ones((80, 80), np.uint8), Fill(0, 4, 32, grows=False)
    plane[:, 40:43] = 0
    assert blank(plane, [fill]) is None
    plane[:, 79] = 0
    found = blank(plane, [fill])
    assert found is not None
    np.testing.assert_array_equal(found.any(axis=0).nonzero()[0], [79])
    assert blank(plane, [fill], (True, True, True, False)) is None
