from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from baikal_deploy.volumes.zarr.reader import open_volume

Pixels = NDArray[Any]
DTYPES = ["u1", "u2", "u4", "i1", "i2", "f4", "f8", ">u2", ">i2", ">f4", ">f8"]
SUBSETS = ["".join(names) + "yx" for size in range(4) for names in itertools.combinations("tcz", size)]


def pixels(shape: tuple[int, ...], dtype: str = "u2") -> Pixels:
    return (np.arange(np.prod(shape)) % 120).astype(dtype).reshape(shape)


def save(path: Path, data: Pixels, **options: Any) -> zarr.Array[Any]:
    array = zarr.create_array(path, shape=data.shape, dtype=data.dtype, **options)
    array[...] = data
    return array


def save_image(path: Path, data: Pixels, version: str, block: dict[str, Any], dataset: str = "0") -> None:
    attributes = {"ome": {"version": "0.5", **block}} if version == "0.5" else block
    zarr_format: Literal[2, 3] = 3 if version == "0.5" else 2
    zarr.create_group(path, attributes=attributes, zarr_format=zarr_format)
    save(path / dataset, data, zarr_format=zarr_format)


def multiscales(names: str, steps: list[dict[str, Any]], dataset: str = "0", **more: Any) -> dict[str, Any]:
    datasets = [{"path": dataset, "coordinateTransformations": steps}]
    return {"multiscales": [{"axes": [{"name": n} for n in names], "datasets": datasets, **more}]}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_come_back_in_native_byte_order(tmp_path: Path, zarr_format: int, dtype: str) -> None:
    data = pixels((3, 5, 7), dtype)
    save(tmp_path / "a", data, zarr_format=zarr_format, chunks=(2, 3, 4))
    volume = open_volume(tmp_path / "a")
    native = np.dtype(dtype).newbyteorder("=")
    read, window = volume.read(range(3)), volume.read_window(1, slice(0, 2), slice(3, 7))
    assert volume.info.dtype == read.dtype == window.dtype == native
    assert volume.info.dtype.isnative
    np.testing.assert_array_equal(read, data)
    np.testing.assert_array_equal(window, data[1, 0:2, 3:7])


@pytest.mark.parametrize("names", SUBSETS)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_with_any_axes_give_their_planes(tmp_path: Path, version: str, names: str) -> None:
    data = pixels((2, 3, 4, 5, 6)[-len(names) :])
    block = multiscales(names, [{"type": "scale", "scale": [0.5] * len(names)}], name="cells")
    save_image(tmp_path / "i", data, version, block)
    volume = open_volume(tmp_path / "i")
    info = volume.info
    assert "".join(axis.name for axis in info.axes) == names
    assert (info.shape, info.name, info.scale) == (data.shape, "cells", (0.5,) * len(names))
    flat = data.reshape(-1, 5, 6)
    np.testing.assert_array_equal(volume.read(range(info.num_planes)), flat)
    picked = [info.num_planes - 1, 0]
    np.testing.assert_array_equal(volume.read(picked), flat[picked])
    np.testing.assert_array_equal(volume.read_window(0, slice(1, 3), slice(0, 4)), flat[0, 1:3, 0:4])


@pytest.mark.parametrize("shards", [None, (4, 4, 8)])
def test_sharded_and_missing_chunks_read(tmp_path: Path, shards: tuple[int, ...] | None) -> None:
    array = zarr.create_array(
        tmp_path / "a", shape=(6, 5, 7), dtype="i2", chunks=(2, 2, 4), shards=shards, fill_value=-3
    )
    array[0:2] = 5
    planes = open_volume(tmp_path / "a").read(range(6))
    assert (planes[:2] == 5).all()
    assert (planes[2:] == -3).all()


@pytest.mark.parametrize(
    ("zarr_format", "options", "shape", "expected"),
    [
        (3, {"dimension_names": ("T", "y", "X")}, (2, 3, 4), "tyx"),
        (3, {"attributes": {"_ARRAY_DIMENSIONS": ["c", "y", "x"]}}, (2, 3, 4), "cyx"),
        (2, {"attributes": {"_ARRAY_DIMENSIONS": ["c", "y", "x"]}}, (2, 3, 4), "cyx"),
        (3, {"dimension_names": (None, "y", "x")}, (2, 3, 4), "zyx"),
        (3, {"dimension_names": ("slice", "row", "column")}, (2, 3, 4), "zyx"),
        (2, {}, (3, 4), "yx"),
        (2, {}, (2, 3, 4), "zyx"),
        (3, {}, (2, 2, 3, 4), "czyx"),
        (3, {}, (2, 2, 2, 3, 4), "tczyx"),
    ],
)
def test_axes_of_plain_arrays(
    tmp_path: Path, zarr_format: int, options: dict[str, Any], shape: tuple[int, ...], expected: str
) -> None:
    save(tmp_path / "a", pixels(shape), zarr_format=zarr_format, **options)
    info = open_volume(tmp_path / "a").info
    assert "".join(axis.name for axis in info.axes) == expected
    assert info.scale == (1.0,) * len(shape)
    assert info.translation == (0.0,) * len(shape)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_transformations_of_dataset_and_multiscale_combine(tmp_path: Path, version: str) -> None:
    steps = [{"type": "scale", "scale": [2, 0]}, {"type": "translation", "translation": [1, 3]}]
    outer = [{"type": "scale", "scale": [10, 4]}, {"type": "translation", "translation": [5, 7]}]
    block = multiscales("yx", steps, coordinateTransformations=outer)
    save_image(tmp_path / "i", pixels((3, 4)), version, block)
    info = open_volume(tmp_path / "i").info
    assert info.scale == (20.0, 4.0)  # a scale of 0 is an unknown one
    assert info.translation == (15.0, 19.0)


def test_units_names_case_nesting_and_omero_are_understood(tmp_path: Path) -> None:
    omero = {"channels": [{"label": "GFP"}, {"label": "DAPI"}]}
    axes = [{"name": "C"}, {"name": "Y", "unit": "um"}, {"name": "X", "unit": "pixel"}]
    block = {**multiscales("cyx", [], "scale0/image"), "omero": omero}
    block["multiscales"][0] |= {"axes": axes, "version": "0.4", "name": 5}
    save_image(tmp_path / "i", pixels((2, 3, 4)), "0.4", block, "scale0/image")
    info = open_volume(tmp_path / "i").info
    assert [(axis.name, axis.unit) for axis in info.axes] == [
        ("c", None),
        ("y", "micrometer"),
        ("x", "pixel"),
    ]
    assert (info.omero, info.name, info.scale) == (omero, None, (1.0, 1.0, 1.0))
    assert info.channel_name(1) == "DAPI"


def test_stale_consolidated_metadata_is_ignored(tmp_path: Path) -> None:
    save_image(tmp_path / "i", pixels((3, 4)), "0.4", multiscales("yx", []))
    zarr.consolidate_metadata(tmp_path / "i", zarr_format=2)
    consolidated = tmp_path / "i" / ".zmetadata"
    stale = json.loads(consolidated.read_text())
    stale["metadata"]["0/.zarray"]["shape"] = [1, 1]
    stale["metadata"][".zattrs"] = {}
    consolidated.write_text(json.dumps(stale))
    assert open_volume(tmp_path / "i").info.shape == (3, 4)
