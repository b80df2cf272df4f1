"""Metadata that no valid output could be made of: found before anything is measured, and nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.e2e.conftest import BaikalRun
from tests.e2e.test_bad_input import refused

WINDOW = {"min": 0, "max": 1, "start": 0, "end": 1}


def image(path: Path, counts: np.ndarray, omero: Any = None, **multiscale: Any) -> Path:
    group = zarr.create_group(path, zarr_format=3)
    array = group.create_array("0", shape=counts.shape, dtype=counts.dtype)
    array[...] = counts
    steps = [{"type": "scale", "scale": multiscale.pop("scale", [1.0] * counts.ndim)}]
    axes = [{"name": name, "type": "space"} for name in "zyx"[-counts.ndim :]]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    block = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets, **multiscale}]}
    group.update_attributes({"ome": block if omero is None else {**block, "omero": omero}})
    return path


def with_channel(**channel: Any) -> dict[str, Any]:
    return {"omero": {"channels": [{"color": "FFFFFF", **channel}]}}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (with_channel(label=5), "omero.channels.0.label: Input should be a valid string"),
        (with_channel(active="maybe"), "omero.channels.0.active: "),
        (with_channel(window={**WINDOW, "min": "low"}), "omero.channels.0.window.min: "),
        (with_channel(window={**WINDOW, "max": float("nan")}), "what JSON cannot"),
        (with_channel(more={"deep": [float("inf")]}), "what JSON cannot"),
        (with_channel(label="half \udcff"), "what JSON cannot"),
        ({"omero": {"channels": [], "rdefs": "x"}}, "omero.rdefs: "),
        ({"omero": {"channels": [], "id": [1]}}, "omero.id: "),
        ({"scale": [1.0, 1e308, 1e308]}, "what JSON cannot"),  # twice that, at level 1, is infinite
        ({"name": "half \udcff"}, "surrogates not allowed"),
    ],
)
def test_what_makes_no_valid_ome_zarr(
    tmp_path: Path, baikal_run: BaikalRun, metadata: dict[str, Any], words: str
) -> None:
    path = image(tmp_path / "in.zarr", np.zeros((1, 8, 1100), "u2"), **metadata)
    message = refused(baikal_run, path, "--model", "none.onnx")
    assert f"{path}: its metadata does not make valid OME-NGFF 0.5 (" in message
    assert words in message
    assert "pydantic" not in message


def test_a_map_is_checked_as_its_result_is(tmp_path: Path, baikal_run: BaikalRun) -> None:
    path = image(tmp_path / "in.zarr", np.zeros((1, 8, 8), "u2"), **with_channel(label=5))
    refused(baikal_run, path, tmp_path / "out.tif", "--mask", tmp_path / "mask.zarr", "--model", "none.onnx")


@pytest.mark.parametrize("name", ["half \udcff", "control \x0b", "null \0"])
def test_names_that_no_ome_tiff_can_hold(tmp_path: Path, baikal_run: BaikalRun, name: str) -> None:
    for number, metadata in enumerate((with_channel(label=name), {"name": name})):
        path = image(tmp_path / f"{number}.zarr", np.zeros((1, 8, 8), "u2"), **metadata)
        message = refused(baikal_run, path, tmp_path / "out.tif", "--model", "none.onnx")
        assert f"{tmp_path / 'out.tif'}: OME-TIFF cannot hold the name" in message
