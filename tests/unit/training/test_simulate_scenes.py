from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from baikal_deploy.errors import ConfigError
from baikal_training.simulate import MAX_VOXELS, load_scene, morphologies, simulate, simulate_nuclei

Image = NDArray[np.float32]
ALL = ("filaments", "flywing", "mitochondria", "nuclei", "outlines", "planaria", "tribolium", "vesicles")
THIN = ("filaments", "mitochondria", "outlines", "vesicles")
"""Thin cells: a picture may hold little but background, and the planes of a stack differ less."""
PLANE = (1, 1, 96, 112)


def correlation(a: Image, b: Image) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def detail(image: Image) -> Image:
    """What is smaller than cells; haze and shading make any two planes resemble each other."""
    return image - gaussian_filter(image, (0,) * (image.ndim - 2) + (12, 12))


def test_every_file_of_the_folder_is_a_morphology() -> None:
    assert morphologies() == list(ALL)


@pytest.mark.parametrize("morphology", ALL)
@pytest.mark.parametrize("shape", [(1, 1, 64, 80), (2, 3, 48, 40), (1, 1, 16, 16), (3, 1, 17, 33)])
def test_shape_type_and_range(morphology: str, shape: tuple[int, int, int, int]) -> None:
    image = simulate(morphology, shape, seed=2)
    assert image.shape == shape
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() == 1


@pytest.mark.parametrize("morphology", ALL)
def test_the_same_seed_gives_the_same_image_and_another_seed_another(morphology: str) -> None:
    image = simulate(morphology, PLANE, seed=3)
    assert np.array_equal(simulate(morphology, PLANE, seed=3), image)
    assert abs(correlation(detail(simulate(morphology, PLANE, seed=4)), detail(image))) < 0.25


@pytest.mark.parametrize("morphology", ALL)
@pytest.mark.parametrize("seed", [11, 12])
def test_the_background_is_low_and_more_than_specks_are_bright(morphology: str, seed: int) -> None:
    image = simulate(morphology, (1, 1, 192, 192), seed)
    assert np.percentile(image, 2) < 0.2
    assert np.percentile(image, 99.9) > 0.6
    assert (0.002 if morphology in THIN else 0.05) < np.mean(image > 0.3) < 0.7


def coherence(image: Image, other: Image, axis: int, step: int) -> tuple[float, float]:
    """Mean correlation of neighbours along an axis, and of the same places in another scene."""
    pairs = range(image.shape[axis] - step)
    near = [correlation(detail(image.take(i, axis)), detail(image.take(i + step, axis))) for i in pairs]
    far = [correlation(detail(image.take(i, axis)), detail(other.take(i + step, axis))) for i in pairs]
    return float(np.mean(near)), float(np.mean(np.abs(far)))


@pytest.mark.parametrize("morphology", ALL)
def test_planes_are_cuts_through_one_scene(morphology: str) -> None:
    first, second = (simulate(morphology, (1, 7, 96, 96), seed)[0] for seed in (5, 6))
    neighbours, independent = coherence(first, second, 0, 1)
    distant, _ = coherence(first, second, 0, 5)
    assert neighbours > 0.4
    assert neighbours > independent + 0.3
    assert neighbours > distant + (0.05 if morphology in THIN else 0.2)  # and not one plane repeated


@pytest.mark.parametrize("morphology", ALL)
def test_frames_show_the_same_cells_a_little_moved(morphology: str) -> None:
    first, second = (simulate(morphology, (6, 1, 64, 64), seed) for seed in (5, 6))
    neighbours, independent = coherence(first, second, 0, 1)
    distant, _ = coherence(first, second, 0, 5)
    assert neighbours > 0.85
    assert neighbours > independent + 0.5
    assert 0.999 > neighbours > distant + (0.03 if morphology in THIN else 0.05)


@pytest.mark.parametrize("morphology", ["planaria", "tribolium"])
def test_light_fades_with_depth(morphology: str) -> None:
    stacks = [simulate(morphology, (1, 24, 64, 64), seed)[0] for seed in range(3)]
    top, bottom = (np.mean([np.percentile(s[part], 95) for s in stacks]) for part in ([10, 11], [22, 23]))
    assert bottom < 0.85 * top


def test_the_wing_is_a_thin_sheet_in_a_dark_volume() -> None:
    stack = simulate("flywing", (1, 24, 96, 96), seed=1)[0]
    assert np.median(stack) < 0.1
    assert np.mean(stack.max(0) > 0.3) > 0.2
    brightest = gaussian_filter(stack, (0, 8, 8)).argmax(0)
    assert np.ptp(brightest) >= 2  # curved


def test_nuclei_are_those_of_simulate_nuclei() -> None:
    assert np.array_equal(simulate("nuclei", (1, 3, 64, 64), seed=4)[0], simulate_nuclei((3, 64, 64), seed=4))


def test_an_unknown_morphology_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown scene 'zebra'.*filaments, flywing, mitochondria, nuclei"):
        load_scene("zebra")


@pytest.mark.parametrize("shape", [(1, 16, 16), (0, 1, 32, 32), (1, 0, 32, 32), (1, 1, 15, 32)])
def test_shapes_that_cannot_be_simulated_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="shape is"):
        simulate("flywing", shape)  # type: ignore[arg-type]


def test_images_too_large_to_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match="voxels"):
        simulate("flywing", (1, 1, 2**16, MAX_VOXELS // 2**16 + 1))


@pytest.mark.parametrize("morphology", ALL)
def test_negative_seeds_are_refused(morphology: str) -> None:
    with pytest.raises(ConfigError, match="seed is -1"):
        simulate(morphology, PLANE, -1)
