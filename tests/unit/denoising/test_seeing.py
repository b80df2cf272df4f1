"""What a channel shows, by the estimates that its measurement makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from baikal_deploy.denoising.seeing import BURIED, CORRELATED, KEPT, Seeing
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.structure.recognised import recognise
from baikal_training.simulate import simulate

INTENSITY = IntensityMap(-1.0, 1.0)


@pytest.fixture(scope="module")
def plane() -> np.ndarray:
    plane: np.ndarray = simulate("flywing", (1, 1, 256, 256), 4)[0, 0]
    return (plane * 2 - 1).astype(np.float32)


def test_estimates_nearest_to_the_noise_are_looked_at(plane: np.ndarray) -> None:
    seeing = Seeing(lambda y, sigma: y if sigma == 0.2 else y * 0 + np.float32(sigma))
    for sigma in (0.2, 0.4, 0.1):
        np.testing.assert_array_equal(
            seeing(plane, sigma), plane if sigma == 0.2 else plane * 0 + np.float32(sigma)
        )
    assert seeing.recognised(Measurement(INTENSITY, 0.21, 1)) == recognise([plane])
    assert seeing.recognised(Measurement(INTENSITY, 0.5, 1)).reason


def test_what_cannot_be_told(plane: np.ndarray) -> None:
    seeing = Seeing(lambda y, sigma: y)
    nothing = seeing.recognised(Measurement(INTENSITY, 0.2, 0))
    assert (nothing.probabilities, nothing.structure) == ({}, None)
    seeing(plane, 0.2)
    correlated = replace(NoiseModel.uniform(0.2), correlation=CORRELATED + 0.1)
    assert "correlated" in seeing.recognised(Measurement(INTENSITY, 0.2, 0, correlated)).reason
    assert seeing.recognised(Measurement(IntensityMap(1, 1), 0.2, 0)).reason
    assert "stands out" in seeing.recognised(Measurement(INTENSITY, BURIED + 0.1, 0)).reason


@pytest.mark.parametrize(("planes", "side"), [(1, 256), (1, 700), (40, 256), (100, 300)])
def test_windows_that_are_kept_are_bounded_and_spread(planes: int, side: int) -> None:
    seeing = Seeing(lambda y, sigma: y)
    for index in range(planes):
        seeing(np.full((side, side), index, np.float32), 0.3)
    kept = seeing._windows[0.3]
    assert 0 < len(kept) <= KEPT
    assert all(max(window.shape) <= 256 for window in kept)
    assert planes == 1 or kept[-1][0, 0] > 0.7 * planes
