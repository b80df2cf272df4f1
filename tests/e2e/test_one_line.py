"""One line of Python: files, and arrays of NumPy, Dask and xarray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import baikal_deploy
from baikal_deploy.denoising import lazy as lazily
from baikal_deploy.errors import BaikalError, ConfigError
from tests.e2e.conftest import write_zarr

ENGINE = {"engine": "analytic"}
SHAPE = 48, 40
WALK = {"sampler": "repaint", "steps": "walk2", "repeats": 1, **ENGINE}


@pytest.fixture
def small(counts: np.ndarray) -> np.ndarray:
    """Noisy nuclei as a camera sees them: (3, 48, 40) uint16."""
    return counts[:, 20:68, 20:60]


def test_a_file_and_an_array_give_the_same(tmp_path: Path, small: np.ndarray) -> None:
    """As the samplers that draw show: planes of a stack share their noise, time points do not."""
    pixels = np.stack([small[:2], small[1:]])
    names = ["t", "z", "y", "x"]
    write_zarr(tmp_path / "a.zarr", pixels, chunks=(1, 1, *SHAPE), dimension_names=names)
    done: list[tuple[int, int]] = []
    report = baikal_deploy.denoise_file(
        str(tmp_path / "a.zarr"), tmp_path / "b.ome.tif", progress=lambda *at: done.append(at), **WALK
    )
    assert report.output == tmp_path / "b.ome.tif"
    assert done[-1][0] == done[-1][1] == report.evaluations
    clean = baikal_deploy.denoise(pixels, "tzyx", **WALK)
    np.testing.assert_array_equal(clean, tifffile.imread(report.output))
    assert not np.array_equal(clean, baikal_deploy.denoise(pixels, "tzyx", seed=1, **WALK))
    again = baikal_deploy.denoise_file(tmp_path / "a.zarr", tmp_path / "b.ome.tif", **WALK)
    assert again.before


def test_channels_are_measured_apart_and_axes_may_lie_in_any_order(small: np.ndarray) -> None:
    two = np.stack([small, 3 * small])
    clean = baikal_deploy.denoise(two, "czyx", **ENGINE)
    for channel in range(2):
        np.testing.assert_array_equal(clean[channel], baikal_deploy.denoise(two[channel], "zyx", **ENGINE))
    turned = baikal_deploy.denoise(two.transpose(1, 3, 2, 0), "zxyc", **ENGINE)
    np.testing.assert_array_equal(turned, clean.transpose(1, 3, 2, 0))
    plane = baikal_deploy.denoise(small[0], dtype="f4", **ENGINE)
    assert (plane.shape, plane.dtype) == (small[0].shape, np.float32)


def test_dask_is_computed_when_it_is_asked_for(small: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    da, cloudpickle = pytest.importorskip("dask.array"), pytest.importorskip("cloudpickle")
    seen: list[Any] = []
    lazy = da.from_array(np.stack([small, 3 * small]), chunks=(2, 1, 20, 40))
    monkeypatch.setattr(lazily, "_block", _counted(lazily._block, seen))
    result = baikal_deploy.denoise(lazy, "czyx", **WALK)
    assert (result.shape, result.dtype, seen) == (lazy.shape, small.dtype, [])
    expected = baikal_deploy.denoise(np.asarray(lazy), "czyx", **WALK)
    one = result[1, 2].compute(scheduler="synchronous")
    np.testing.assert_array_equal(one, expected[1, 2])
    assert len(seen) == 1
    np.testing.assert_array_equal(result.compute(), expected)
    monkeypatch.undo()
    assert cloudpickle.dumps(baikal_deploy.denoise(lazy, "czyx", **WALK))  # for workers elsewhere


def _counted(block: Any, seen: list[Any]) -> Any:
    def counted(planes: Any, *, block_info: Any = None, **options: Any) -> Any:
        seen.append(planes.shape)
        return block(planes, block_info=block_info, **options)

    return counted


@pytest.mark.parametrize("lazy", [False, True])
def test_xarray_keeps_what_it_knows(small: np.ndarray, lazy: bool) -> None:
    xr = pytest.importorskip("xarray")
    pixels = np.stack([small, small + 7])[None]
    coords = {"channel": ["DAPI", "GFP"], "y": 0.5 * np.arange(48)}
    array = xr.DataArray(pixels, coords, ("time", "channel", "z", "y", "x"), "cells", {"by": "me"})
    clean = baikal_deploy.denoise(array.chunk({"z": 1}) if lazy else array, **ENGINE)
    assert (clean.name, clean.dims, clean.attrs) == (array.name, array.dims, array.attrs)
    assert clean.coords.equals(array.coords)
    assert (clean.chunks is not None) == lazy
    np.testing.assert_array_equal(clean.to_numpy(), baikal_deploy.denoise(pixels, **ENGINE))


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((3, 4, 5)), {"axes": "zy"}, "axes 'zy' of an array of 3 dimensions"),
        (np.zeros((3, 4, 5)), {"axes": "zzx"}, "name each once"),
        (np.zeros((3, 4, 5)), {"axes": "qyx"}, "axes 'qyx'"),
        (np.zeros(5), {}, "array of 1 dimensions"),
        (np.zeros((0, 4, 5)), {}, "at least one plane"),
        (np.zeros((4, 5), complex), {}, "needed are real numbers"),
        (np.zeros((4, 5)), {"sampler": "magic"}, "unknown sampler 'magic'"),
        (np.zeros((4, 5)), {"model": "none.onnx"}, "none.onnx"),
    ],
)
def test_what_makes_no_sense(array: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BaikalError, match=message):
        baikal_deploy.denoise(array, **options)


def test_several_images_are_not_one(tmp_path: Path, small: np.ndarray) -> None:
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", small[0])
    with pytest.raises(ConfigError, match="holds several images; denoise them with Images"):
        baikal_deploy.denoise_file(tmp_path, tmp_path / "out", **ENGINE)


def test_a_store_is_followed(tmp_path: Path, small: np.ndarray) -> None:
    write_zarr(tmp_path / "in.zarr", small, chunks=(1, *SHAPE), dimension_names=["t", "y", "x"])
    report = baikal_deploy.follow(str(tmp_path / "in.zarr"), timeout=0.3, **ENGINE)
    assert report.output == tmp_path / "in_denoised.ome.zarr"
