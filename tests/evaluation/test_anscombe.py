"""The generalised Anscombe transform and its exact inverse, on photons whose mean is known."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_evaluation.methods.anscombe_bm3d import inverse, transformed


@pytest.mark.parametrize("photons", [3.0, 10.0, 100.0])
def test_noise_is_one_and_the_mean_comes_back_unbiased(photons: float) -> None:
    gain, read_noise = 5.0, 4.0
    rng = np.random.default_rng(0)
    counts = gain * rng.poisson(photons, 400_000) + rng.normal(0, read_noise, 400_000)
    noise = NoiseModel(gain, read_noise**2, 0.0, 1.0)
    values = transformed(counts, noise)
    assert values.std() == pytest.approx(1, abs=0.06)
    mean = np.array([values.mean()])
    assert inverse(mean, noise)[0] == pytest.approx(gain * photons, rel=0.015)


def test_values_that_no_photon_gives_are_no_photons() -> None:
    """Also where an offset makes the intercept negative."""
    for intercept in (-50.0, 0.0, 16.0):
        dark = inverse(np.array([-1.0, 0.0, 0.01]), NoiseModel(5.0, intercept, 0.0, 1.0))
        assert (np.abs(dark) < 30).all()
