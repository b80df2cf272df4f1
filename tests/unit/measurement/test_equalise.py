"""Noise made the same everywhere, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

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
EVEN = NOISE.even_level(INTENSITY.low, INTENSITY.high)
TRUE_N = INTENSITY.normalise(TRUE)


def surroundings(planes: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """What the spread of an equaliser says of them, in raw units, where the noise depends on the signal."""
    _, equaliser = Equaliser.equalised(planes, noise, INTENSITY)
    level = noise.even_level(INTENSITY.low, INTENSITY.high)
    return ((equaliser.spread.astype(float) * level) ** 2 - noise.intercept) / noise.gain


def test_noise_has_the_level_in_the_dark_and_in_the_light() -> None:
    even, equaliser = Equaliser.equalised(NOISY, NOISE, INTENSITY)
    residual = even - equaliser.forward(TRUE_N)
    bright = np.percentile(TRUE, 98) < TRUE
    assert (NOISY - TRUE)[bright].std() > 2 * (NOISY - TRUE)[~bright].std()
    level = INTENSITY.normalised_sigma(EVEN)
    assert equaliser.level == pytest.approx(level)
    for part in (bright, ~bright):
        assert residual[part].std() == pytest.approx(level, rel=0.15)
    assert noise_std(list(even)) == pytest.approx(level, rel=0.05)


def test_the_standard_deviation_is_that_of_the_model() -> None:
    flat = np.linspace(150, 2000, 40)[:, None, None].repeat(8, 1).repeat(8, 2)
    _, equaliser = Equaliser.equalised(flat, NOISE, INTENSITY)
    np.testing.assert_allclose(equaliser.spread * EVEN, NOISE.std(flat), rtol=1e-4)


def test_other_planes_go_the_same_way() -> None:
    for noise in (NOISE, NoiseModel(1e-6, 400.0, 1.0, 20.0), NoiseModel.uniform(3.0)):
        even, equaliser = Equaliser.equalised(NOISY, noise, INTENSITY)
        np.testing.assert_allclose(equaliser.forward(INTENSITY.normalise(NOISY)), even, atol=1e-5)


def test_intensities_are_shown_on_the_scale_on_which_noise_is_the_same() -> None:
    """The closed form against an integral by trapezoids, on both sides of the noise's floor."""
    for floor, low in ((NOISE.std(np.array(300.0)) ** 2, 250.0), (1.0, 250.0), (1.0, 280.0)):
        noise, intensity = replace(NOISE, floor=float(floor)), IntensityMap(low, 900.0)
        raw = np.linspace(150, 2000, 20001)
        steps = np.concatenate([[0], np.cumsum(np.diff(raw) / noise.std((raw[1:] + raw[:-1]) / 2))])
        first, last = np.interp([intensity.low, intensity.high], raw, steps)
        flat = raw[::500, None, None].repeat(8, 1).repeat(8, 2)
        shown, _ = Equaliser.equalised(flat, noise, intensity)
        seen = np.interp(flat, raw, steps)
        np.testing.assert_allclose(shown, 2 * (seen - first) / (last - first) - 1, atol=5e-4)
        assert noise.even_level(low, 900.0) == pytest.approx((900 - low) / (last - first), rel=1e-5)


def test_hardly_any_gain_is_no_gain() -> None:
    """Differences of nearly equal roots would lose what float32 holds."""
    uniform = NoiseModel(0.0, 400.0, 1.0, 20.0)
    shown = [Equaliser.equalised(NOISY, replace(uniform, gain=gain), INTENSITY)[0] for gain in (0, 1e-6)]
    np.testing.assert_allclose(*shown, atol=2e-5)


def test_surroundings_follow_structure_and_no_noise() -> None:
    stripes = np.where(np.arange(128) // 4 % 2, 800.0, 400.0)[None, None].repeat(128, 1)
    noisy = stripes + np.random.default_rng(1).normal(0, NOISE.std(stripes))
    seen, flat = (surroundings(planes, NOISE)[0] for planes in (noisy, noisy - stripes + 600))
    contrast = np.ptp(seen[8:-8, 8:-8].mean(0))
    assert contrast > 250, "a blur of 4 pixels leaves 60 of 400"
    assert flat[8:-8, 8:-8].std() < 0.15 * NOISE.std(np.array(600.0)), "a blur of 1 pixel leaves 0.28"


def test_correlated_noise_is_not_taken_for_structure() -> None:
    kernel = np.exp(-np.square(np.mgrid[-6:7, -6:7]).sum(0) / 8)
    noise = replace(NOISE, kernel=tuple(map(tuple, kernel.tolist())), correlation=2.0)
    white = np.random.default_rng(1).normal(size=(1, 192, 192))
    field = gaussian_filter(white, (0, 2**0.5, 2**0.5), mode="wrap")
    noisy = 600 + field / field.std() * 2 * NOISE.std(np.array(600.0))
    seen = [surroundings(noisy, one).std() for one in (noise, NOISE)]
    assert seen[0] < 0.6 * seen[1]


def test_back_undoes_forward_but_for_its_bias() -> None:
    _, equaliser = Equaliser.equalised(NOISY, NOISE, INTENSITY)
    bias = (equaliser.back(equaliser.forward(TRUE_N)) - TRUE_N) * INTENSITY.half
    np.testing.assert_allclose(bias, np.clip(bias, 0, 0.15 * NOISE.gain / 2), atol=1e-2)
    assert bias.max() > 0.05 * NOISE.gain


def test_means_keep_their_brightness() -> None:
    """Without the correction they would be darker by 7 % of a photon where all is structure."""
    gain, photons = 10.0, np.where(np.arange(256) // 4 % 2, 60.0, 20.0)
    noise, intensity = NoiseModel(gain, 0.0, 1.0, 200.0), IntensityMap(100.0, 900.0)
    true = gain * photons[None].repeat(2048, 0)
    noisy = gain * np.random.default_rng(1).poisson(true / gain)[None]
    even, equaliser = Equaliser.equalised(noisy, noise, intensity)
    denoised = np.broadcast_to(even.mean(1, keepdims=True), noisy.shape)
    found = intensity.denormalise(equaliser.back(denoised)[0], np.float64).mean(0)
    np.testing.assert_allclose((found - true[0])[8:-8].mean(), 0, atol=0.02 * gain)


def test_uniform_noise_is_left_as_it_is() -> None:
    even, equaliser = Equaliser.equalised(NOISY, NoiseModel.uniform(3.0), INTENSITY)
    np.testing.assert_array_equal(even, INTENSITY.normalise(NOISY))
    np.testing.assert_array_equal(equaliser.back(even), even)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
def test_pixel_types_make_no_difference(dtype: str) -> None:
    levels = np.minimum(NOISY // 8, 255)
    noise, intensity = (
        replace(NOISE, gain=NOISE.gain / 8, intercept=NOISE.intercept / 64, floor=NOISE.floor / 64),
        IntensityMap(31.0, 112.0),
    )
    expected, _ = Equaliser.equalised(levels, noise, intensity)
    even, _ = Equaliser.equalised(levels.astype(dtype), noise, intensity)
    assert even.dtype == np.float32
    np.testing.assert_allclose(even, expected, atol=1e-5)


@pytest.mark.parametrize("gain", [1.0, 10.0, 100.0])
def test_float32_holds_what_is_computed(gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far less than the noise is rounded off, also where it hardly grows along the scale."""
    noise = NoiseModel(gain, 900.0 * gain, 300.0 * gain, 40.0)
    even, equaliser = Equaliser.equalised(NOISY, noise, INTENSITY)
    monkeypatch.setattr("baikal_deploy.measurement.equaliser.LEAST_GROWTH", np.inf)
    exact, exactly = Equaliser.equalised(NOISY, noise, INTENSITY)
    np.testing.assert_allclose(even, exact, atol=1e-3 * exactly.level)
    np.testing.assert_allclose(
        equaliser.back(0.5 * even), exactly.back(0.5 * exact), atol=1e-3 * exactly.level
    )


def test_lines_are_not_taken_for_structure() -> None:
    noise = replace(NOISE, kernel=((1.0,),), rows=1.0, correlation=2**0.5)
    random, std = np.random.default_rng(1), NOISE.std(np.array(600.0))
    noisy = 600 + std * (random.normal(size=(1, 192, 192)) + random.normal(size=(1, 192, 1)))
    told, untold = (surroundings(noisy, one).std() for one in (noise, NOISE))
    assert told < 0.8 * untold
