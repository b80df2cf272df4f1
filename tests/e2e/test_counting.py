"""The benchmark that counts nuclei: what it takes for one in a clean image."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "counting.py"
CENTRES = [(20, 20), (20, 70), (70, 20), (70, 70)]


@pytest.fixture(scope="module")
def counting() -> ModuleType:
    spec = importlib.util.spec_from_file_location("counting", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mouse_nuclei() -> np.ndarray:
    """Four nuclei of radius 12, each with three bright spots and a dark nucleolus."""
    y, x = np.mgrid[:96, :96]
    image = np.full((96, 96), 20.0)
    for row, column in CENTRES:
        image[np.hypot(y - row, x - column) < 12] = 60
        image[np.hypot(y - row, x - column) < 3] = 22
        for dy, dx in ((-7, 0), (5, 5), (5, -5)):
            image += 200 * np.exp(-((y - row - dy) ** 2 + (x - column - dx) ** 2) / 8)
    return image


def test_a_nucleus_with_bright_spots_is_one_object(counting: ModuleType) -> None:
    image = mouse_nuclei()
    found = counting.objects(image, counting.between(image))
    assert len(np.unique(found)) - 1 == len(CENTRES)
    assert np.all(found[tuple(np.transpose(CENTRES))] > 0)  # a dark nucleolus is no hole


def test_brightness_is_fitted_where_the_noisy_image_is_not_saturated(counting: ModuleType) -> None:
    clean = mouse_nuclei()
    noisy = np.minimum(1.5 * clean + 3, 255)
    error = np.abs(counting.as_bright(clean, noisy) - noisy)[clean < 150]
    assert error.max() < 1  # 20 with all pixels in the fit
