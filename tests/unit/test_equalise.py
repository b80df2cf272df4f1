"""Noise made the same everywhere, and back."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.equalise import Equaliser
from baikal_deploy.intensity import noise_std
from baikal_deploy.noise_model import NoiseModel, fit_noise
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

CLEAN = simulate_nuclei((2, 256, 256), seed=3)
CAMERA = Camera(photons=100, gain=10, read_noise=20)
NOISY, TRUE = CAMERA.expose(CLEAN).astype(float), CAMERA.expected(CLEAN).astype(float)
NOISE = fit_noise(list(NOISY), list(TRUE))


def test_noise_has_the_level_in_the_dark_and_in_the_light() -> None:
    equaliser = Equaliser.of(NOISY, NOISE)
    residual = equaliser.forward(NOISY) - equaliser.forward(TRUE)
    bright = np.percentile(TRUE, 98) < TRUE
    assert (NOISY - TRUE)[bright].std() > 2 * (NOISY - TRUE)[~bright].std()
    for part in (bright, ~bright):
        assert residual[part].std() == pytest.approx(NOISE.level, rel=0.15)
    assert noise_std(list(equaliser.forward(NOISY))) == pytest.approx(NOISE.level, rel=0.05)


def test_back_undoes_forward() -> None:
    equaliser = Equaliser.of(NOISY, NOISE)
    np.testing.assert_allclose(equaliser.back(equaliser.forward(TRUE)), TRUE)


def test_uniform_noise_is_left_as_it_is() -> None:
    np.testing.assert_allclose(Equaliser.of(NOISY, NoiseModel.uniform(3.0)).forward(NOISY), NOISY)
