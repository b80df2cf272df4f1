"""Pixels that must survive: bright spots, NaN, empty planes, and every pixel type."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import EngineError
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_training.camera import add_noise
from baikal_training.simulate import simulate_nuclei
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import level0


@pytest.mark.parametrize("sampler", ["forward-backward", "mixing", "repaint", "matched", "posterior"])
def test_bright_spots_keep_their_intensity(sampler: str) -> None:
    """The brightest 0.1 % lie 3 times above the 99.8th percentile, at low noise."""
    clean = simulate_nuclei((1, 256, 256), seed=2)[0]
    spots = np.zeros(clean.shape, dtype=bool)
    rng = np.random.default_rng(0)
    for y, x in rng.integers(2, 250, (8, 2)):
        spots[y : y + 3, x : x + 3] = True
    assert spots.mean() == pytest.approx(0.001, rel=0.2)
    clean[spots] = 3 * np.percentile(clean, 99.8)
    noisy = clean + rng.normal(0, 0.02, clean.shape)
    with Denoiser.load() as denoiser:
        denoised = denoiser.denoise(noisy, sampler)
    assert denoised[spots].mean() == pytest.approx(clean[spots].mean(), rel=0.1)
    assert np.abs(denoised[spots] / clean[spots] - 1).mean() < 0.1


def test_pixels_beyond_the_training_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    noisy = add_noise(simulate_nuclei((1, 64, 64), seed=2), 20, seed=0)[0]
    noisy[10:12, 10:12] = 100
    with Denoiser.load(engine="analytic") as denoiser, caplog.at_level(logging.WARNING):
        denoiser.denoise(noisy)
    assert "0.098 % of the pixels are brighter" in caplog.text


def test_nan_stays_nan_and_touches_nothing_else(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    pixels = counts.astype(np.float32)
    pixels[1, 20:24, 30] = np.nan
    pixels[1, 40, 30:32] = np.inf, -np.inf
    pixels[2] = np.nan
    result = baikal_run(write_zarr(tmp_path / "nan.zarr", pixels))
    assert result.exit_code == 0, result.output
    denoised, lost = level0(tmp_path / "nan_denoised.ome.zarr"), ~np.isfinite(pixels)
    np.testing.assert_array_equal(denoised[lost], pixels[lost])
    assert np.isfinite(denoised[~lost]).all()
    assert f"NaN or infinite pixels, left as they are: {6 + pixels[2].size}\n" in result.stderr
    assert "copied unchanged: 1\n" in result.stderr


def test_empty_planes_are_copied_and_reported(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    pixels = counts.copy()
    pixels[0] = 7
    result = baikal_run(write_zarr(tmp_path / "gap.zarr", pixels))
    assert (level0(tmp_path / "gap_denoised.ome.zarr")[0] == 7).all()
    assert "copied unchanged: 1\n" in result.stderr


def test_a_constant_volume_is_copied(tmp_path: Path, baikal_run: BaikalRun) -> None:
    pixels = np.full((2, 40, 40), 9, dtype=np.uint8)
    result = baikal_run(write_zarr(tmp_path / "flat.zarr", pixels))
    assert result.exit_code == 0
    assert "holds a single value; it will be copied" in result.stderr
    assert np.array_equal(level0(tmp_path / "flat_denoised.ome.zarr"), pixels)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", ">u2", ">i2", ">f4"])
def test_every_pixel_type_is_kept_and_nothing_wraps(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, dtype: str
) -> None:
    """Values fill the type's range, so that any overshoot would wrap from bright to dark."""
    kind = np.dtype(dtype)
    low, high = (0, 1) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    scaled = (counts - counts.min()) / float(np.ptp(counts)) * (float(high) - low) + low
    pixels = np.clip(scaled * 1.3, low, high).astype(kind)
    result = baikal_run(write_zarr(tmp_path / "typed.zarr", pixels))
    assert result.exit_code == 0, result.output
    denoised = level0(tmp_path / "typed_denoised.ome.zarr")
    assert denoised.dtype == kind.newbyteorder("=")
    change = denoised.astype(float) - pixels.astype(float)
    assert np.abs(change).max() < 0.7 * (float(high) - low)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 3), (17, 513)])
def test_planes_of_any_size(tmp_path: Path, baikal_run: BaikalRun, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, shape, dtype=np.uint8)
    result = baikal_run(write_zarr(tmp_path / "odd.zarr", pixels), "--engine", "onnx-cpu")
    assert result.exit_code == 0, result.output
    assert level0(tmp_path / "odd_denoised.ome.zarr").shape == shape


def test_a_network_that_returns_nan_is_an_error(monkeypatch: pytest.MonkeyPatch, counts: np.ndarray) -> None:
    with Denoiser.load(engine="analytic") as denoiser:
        monkeypatch.setattr(
            type(denoiser.predictor.engine), "_predict", lambda self, x, t: (x * np.nan, None)
        )
        measurement = Measurement(IntensityMap(200, 600), 60, 1)
        recipe = denoiser.recipe(make_sampler("mixing", {}, {}), measurement, 0)
        with pytest.raises(EngineError, match=r"NaN or infinite values for planes \[4\]"):
            denoiser.run(recipe, Stack(counts[:1], [4]))


def test_a_list_of_lists_is_a_plane_too() -> None:
    with Denoiser.load(engine="analytic") as denoiser:
        assert denoiser.denoise([[1, 2, 3], [4, 5, 9]]).shape == (2, 3)


@pytest.mark.parametrize("dtype", ["f4", "u2", "u1"])
def test_a_clean_volume_stays_as_it_is(dtype: str) -> None:
    """Its finest structure counts as noise, so edges move a little."""
    clean = (simulate_nuclei((1, 128, 128), seed=4)[0] * 255).astype(dtype)
    with Denoiser.load() as denoiser:
        change = denoiser.denoise(clean).astype(float) - clean.astype(float)
    assert np.sqrt(np.square(change).mean()) < 0.01 * np.ptp(clean)


def lit_pixel() -> np.ndarray:
    plane = np.zeros((64, 64), np.uint8)
    plane[20, 30] = 200
    return plane


@pytest.mark.parametrize(
    "plane",
    [
        lit_pixel(),
        (np.random.default_rng(0).random((64, 64)) < 0.1).astype(np.uint8),
        np.minimum(np.random.default_rng(0).poisson(100, (64, 64)), 100).astype(np.uint8),
        np.random.default_rng(0).poisson(0.5, (64, 64)).astype(np.uint8),
    ],
    ids=["one-pixel", "two-values", "half-saturated", "few-grey-levels"],
)
@pytest.mark.parametrize("sampler", ["auto", "posterior"])
def test_planes_with_hardly_anything_to_measure(plane: np.ndarray, sampler: str) -> None:
    with Denoiser.load() as denoiser:
        result = denoiser.denoise(plane, sampler)
    assert (result.dtype, result.shape) == (plane.dtype, plane.shape)
    assert abs(float(result.mean()) - float(plane.mean())) < 0.15 * max(1.0, float(np.ptp(plane)))
