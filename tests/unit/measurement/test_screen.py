"""What is taken for unfilled, hot or dead, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray

from baikal_deploy.measurement.blank import Fill, blank
from baikal_deploy.measurement.defects import _candidates, _medians
from baikal_deploy.measurement.noise_model import NoiseModel
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
    plane[:4], plane[20, 20], plane[40:50, 30:41] = np.inf, np.nan, np.inf
    screened = Screen.of([plane]).screened(plane)
    assert screened.unfilled is not None
    np.testing.assert_array_equal(screened.unfilled, ~np.isfinite(plane))
    assert np.isfinite(screened.plane).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_number_of_a_type_says_nothing(dtype: type[np.floating]) -> None:
    """It stands for pixels that are missing; as an intensity a single one spoiled its plane."""
    plane = np.random.default_rng(0).poisson(90, (64, 64)).astype(dtype)
    plane[9, 9], plane[40, 3] = np.finfo(dtype).max, np.finfo(dtype).min
    screened = Screen.of([plane]).screened(plane)
    assert screened.unfilled is not None
    assert np.argwhere(screened.unfilled).tolist() == [[9, 9], [40, 3]]
    assert screened.plane.max() < 200


def test_half_precision_has_numbers_only() -> None:
    plane = np.random.default_rng(0).poisson(90, (64, 64)).astype(np.float16)
    plane[9, 9] = np.finfo(np.float16).max
    assert blank(plane, ()) is None


def test_a_record_gives_the_same_screen() -> None:
    plane = np.random.default_rng(2).poisson(100, (64, 64)).astype(np.uint16)
    plane[:4], plane[30, 30] = 0, 4000
    plane[20:40, 50:60:4] = plane[22:24, 50:60] = 65535
    screen = Screen.of([plane])
    assert screen.marks
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


def scattered(plane: NDArray[np.uint16]) -> None:
    plane[np.random.default_rng(4).random(plane.shape) < 0.03] = 4000


def lines(plane: NDArray[np.uint16]) -> None:
    plane[:, [30, 80, 81]] = 65535


def beads(plane: NDArray[np.uint16]) -> None:
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    light = plane.astype(float)
    for row, column, width in ((30, 40, 1.0), (70, 90, 2.0), (100, 30, 3.0)):
        light += 40000 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
    plane[:] = np.minimum(light, 4095)


def filaments(plane: NDArray[np.uint16]) -> None:
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    light = plane.astype(float)
    for number in range(5):
        middle = 20 + 22 * number + 6 * np.sin(x / 9 + number)
        light += 60 * (2 + number) * np.exp(-((y - middle) ** 2) / 2)
    plane[:] = np.minimum(light, 255)


def threads(plane: NDArray[np.uint16]) -> None:
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    distance = y - 60 - 20 * np.sin(x / 13)
    plane[:] = np.minimum(plane + 6000 * np.exp(-(distance**2) / 2 / 1.5**2), 4095)


@pytest.mark.parametrize("wrong_with", [scattered, lines, beads, filaments, threads])
def test_it_is_not_drawn_in(wrong_with: Callable[[NDArray[np.uint16]], None]) -> None:
    plane = np.random.default_rng(3).normal(100, 5, (128, 128)).astype(np.uint16)
    wrong_with(plane)
    assert Screen.of([plane]).marks == ()


@pytest.mark.parametrize(("name", "limit"), [("round", 4095.0), ("box", None), ("hot", None)])
def test_what_is_saturated(name: str, limit: float | None) -> None:
    plane = np.random.default_rng(6).normal(100, 5, (128, 128)).astype(np.uint16)
    y, x = np.mgrid[:128, :128]
    where = {
        "round": np.hypot(y - 50, x - 70) < 7.3,
        "box": (y > 20) & (y < 34) & (x > 30) & (x < 90),
        "hot": np.random.default_rng(7).random((128, 128)) < 0.004,
    }
    plane[where[name]] = 4095
    assert Screen.of([plane]).limit == limit


@pytest.mark.parametrize("gain", [20.0, 0.001])
def test_candidates_are_the_same_however_they_are_looked_for(gain: float) -> None:
    """Narrow integers are looked at twice where candidates are few, and others once."""
    random = np.random.default_rng(1)
    plane = random.poisson(np.linspace(5, 60, 300)[:, None].repeat(400, 1)) * 20 + 100
    plane.flat[random.integers(0, plane.size, 50)] = 4000
    noise = NoiseModel(gain, -100 * gain, 40 * gain, 30.0)
    places = np.array(_candidates(plane.astype(np.float32), noise))
    assert places.shape[1] > 0
    assert (places.shape[1] > plane.size / 8) == (gain < 1)
    np.testing.assert_array_equal(_candidates(plane.astype(np.uint16), noise), places)


def test_medians_of_windows_leave_out_what_is_beyond_the_plane() -> None:
    around = np.random.default_rng(2).normal(size=(40, 25)).astype(np.float32)
    around[:20, :9] = np.nan
    around[:10, 9] = np.nan
    np.testing.assert_array_equal(_medians(around), np.nanmedian(around, axis=1))
