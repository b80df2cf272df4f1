"""Features of windows: what they depend on, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.measurement.structure.classifier import classifier
from baikal_deploy.measurement.structure.features import LEAST_SIDE, features
from baikal_training.simulate import simulate


@pytest.fixture(scope="module")
def window() -> np.ndarray:
    plane: np.ndarray = simulate("flywing", (1, 1, 160, 160), 3)[0, 0]
    return plane.astype(np.float32)


def test_there_are_as_many_as_the_classifier_takes(window: np.ndarray) -> None:
    found = features(window)
    assert found is not None
    assert found.shape == classifier().mean.shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("factor", "offset"), [(5000.0, 100.0), (1e-3, -1.0)])
def test_scale_of_intensities_does_not_matter(window: np.ndarray, factor: float, offset: float) -> None:
    np.testing.assert_allclose(
        features(window * np.float32(factor) + np.float32(offset)), features(window), rtol=0.05, atol=0.03
    )


def test_rotation_by_a_quarter_hardly_matters(window: np.ndarray) -> None:
    np.testing.assert_allclose(features(np.rot90(window)), features(window), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "window",
    [np.zeros((256, 256)), np.ones((LEAST_SIDE - 1, 256)), np.random.default_rng(0).random((8, 300))],
    ids=["constant", "constant and small", "small"],
)
def test_nothing_to_tell(window: np.ndarray) -> None:
    assert features(window.astype(np.float32)) is None


@pytest.mark.parametrize("shape", [(LEAST_SIDE, LEAST_SIDE), (129, 255), (200, 128)])
def test_any_shape(shape: tuple[int, int]) -> None:
    found = features(np.random.default_rng(0).random(shape, np.float32))
    assert found is not None
    assert np.isfinite(found).all()


def test_a_single_bright_pixel() -> None:
    window = np.zeros((256, 256), np.float32)
    window[100, 100] = 1
    found = features(window)
    assert found is None or np.isfinite(found).all()
