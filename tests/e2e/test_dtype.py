"""baikal-run with another pixel type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from baikal_deploy import Denoiser
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_run import group_attributes, level0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint16"])
def test_values_stay_in_the_units_of_the_input(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray, dtype: str
) -> None:
    assert baikal_run(noisy_zarr, tmp_path / "out.zarr", "--dtype", dtype).exit_code == 0
    with Denoiser.load("nuclei", engine="analytic") as denoiser:
        exact = denoiser.denoise(counts, dtype=np.float64)
    assert (exact != np.rint(exact)).mean() > 0.9
    expected = np.rint(exact).astype(dtype) if "int" in dtype else exact.astype(dtype)
    written = level0(tmp_path / "out.zarr")
    assert written.dtype == dtype
    if dtype == "float32":  # which is mapped in it
        np.testing.assert_allclose(written, expected, rtol=3e-7)
    else:
        np.testing.assert_array_equal(written, expected)
    assert group_attributes(tmp_path / "out.zarr")["baikal"]["pixels"]["output"] == dtype


def test_clamped_pixels_are_counted(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray
) -> None:
    result = baikal_run(noisy_zarr, tmp_path / "out.zarr", "--dtype", "uint8")
    with Denoiser.load("nuclei", engine="analytic") as denoiser:
        exact = denoiser.denoise(counts, dtype=np.float64)
    assert np.array_equal(level0(tmp_path / "out.zarr"), np.clip(np.rint(exact), 0, 255).astype(np.uint8))
    beyond = int((np.rint(exact) > 255).sum())
    assert beyond > 0
    assert f"clamped to it: {beyond} " in result.stderr


def test_copied_planes_and_channels_are_converted_too(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    pixels = np.stack([counts, counts]).astype(np.float32)
    pixels[1, 0, 0, :3] = np.nan, np.inf, 300.4
    pixels[0, 1] = 1e9
    path = write_zarr(tmp_path / "in.zarr", pixels, dimension_names=list("czyx"))
    result = baikal_run(path, tmp_path / "out.tif", "--dtype", "uint16", "--channel", "0")
    assert result.exit_code == 0, result.output
    written = tifffile.imread(tmp_path / "out.tif")
    assert written.dtype == np.uint16
    assert (written[0, 1] == 65535).all()
    assert written[1, 0, 0, :3].tolist() == [0, 65535, 300]
    assert np.array_equal(written[1, 1:], counts[1:])
    assert "which are 0 in the result, as integers have no NaN: 1\n" in result.stderr
    assert f"clamped to it: {counts[1].size + 1} " in result.stderr
    assert "left as they are" not in result.stderr


def test_a_type_that_is_none(baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    result = baikal_run(noisy_zarr, "--dtype", "u3")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --dtype u3: choose one of uint8, uint16")
