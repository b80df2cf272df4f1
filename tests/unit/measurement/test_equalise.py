"""Noise made the same everywhere, and back."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel, fit_noise
from baikal_deploy.measurement.sample import noise_std
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

CLEAN = simulate_nuclei((2, 256, 256), seed=3)
CAMERA = Camera(photons=100, gain=10, read_noise=20)
NOISY, TRUE = CAMERA.expose(CLEAN).astype(float), CAMERA.expected(CLEAN).astype(float)
NOISE = fit_noise(list(NOISY), list(TRUE))
INTENSITY = IntensityMap(250.0, 900.0)
NOISY_N, TRUE_N = INTENSITY.normalise(NOISY), INTENSITY.normalise(TRUE)


def test_noise_has_the_level_in_the_dark_and_in_the_light() -> None:
    equaliser = Equaliser.of(NOISY_N, NOISE, INTENSITY)
    residual = equaliser.forward(NOISY_N) - equaliser.forward(TRUE_N)
    bright = np.percentile(TRUE, 98) < TRUE
    assert (NOISY - TRUE)[bright].std() > 2 * (NOISY - TRUE)[~bright].std()
    level = INTENSITY.normalised_sigma(NOISE.level)
    for part in (bright, ~bright):
        assert residual[part].std() == pytest.approx(level, rel=0.15)
    assert noise_std(list(equaliser.forward(NOISY_N))) == pytest.approx(level, rel=0.05)


def test_the_standard_deviation_is_that_of_the_model() -> None:
    equaliser = Equaliser.of(NOISY_N, NOISE, INTENSITY)
    raw = INTENSITY.denormalise(equaliser.surroundings, np.float64)
    np.testing.assert_allclose(equaliser.spread * NOISE.level, NOISE.std(raw), rtol=1e-4)


def test_back_undoes_forward() -> None:
    equaliser = Equaliser.of(NOISY_N, NOISE, INTENSITY)
    np.testing.assert_allclose(equaliser.back(equaliser.forward(TRUE_N)), TRUE_N, atol=1e-5)


def test_uniform_noise_is_left_as_it_is() -> None:
    equaliser = Equaliser.of(NOISY_N, NoiseModel.uniform(3.0), INTENSITY)
    np.testing.assert_allclose(equaliser.forward(NOISY_N), NOISY_N, atol=1e-5)
