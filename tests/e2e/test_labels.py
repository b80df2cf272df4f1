"""Label images of the input are in the output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.volumes.create import format_of
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.storage import Storage
from tests.e2e.conftest import BaikalRun
from tests.e2e.test_collection import attributes, image
from tests.e2e.test_resume import run_killed
from tests.unit.volumes.test_collections import FORMATS, Format, group
from tests.valid import assert_valid

NAMES = ["nuclei", "zellen ä"]
LABEL = {
    "version": "0.4",
    "colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}],
    "source": {"image": "../../"},
}


def labelled(path: Path, counts: np.ndarray, zarr_format: Format) -> Path:
    """An image with two label images of two levels each, in chunks that do not divide them."""
    image(path, counts, zarr_format, "cells")
    group(path / "labels", zarr_format, {"labels": NAMES})
    for value, name in enumerate(NAMES, 1):
        axes = [{"name": axis, "type": "space"} for axis in "zyx"]
        datasets = [
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": [1, 2**level, 2**level]}],
            }
            for level in range(2)
        ]
        multiscale = {"axes": axes, "datasets": datasets, "version": "0.4"}
        block = {"multiscales": [multiscale], "image-label": dict(LABEL), "omero": {"channels": []}}
        if zarr_format == 3:
            del multiscale["version"], block["image-label"]["version"]
        del block["omero"]
        group(path / "labels" / name, zarr_format, block)
        for level in range(2):
            options: dict[str, Any] = {"shards": (2, 80, 40)} if zarr_format == 3 else {}
            array = zarr.create_array(
                path / "labels" / name / str(level),
                shape=(3, 96 >> level, 80 >> level),
                dtype=">u4" if zarr_format == 2 else "u4",
                chunks=(1, 40, 40),
                zarr_format=zarr_format,
                **options,
            )
            array[...] = (counts[:, :: 2**level, :: 2**level] > 250) * (value + 70_000)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path, mode="r")[...])


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_label_images_are_carried_over(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray, zarr_format: Format
) -> None:
    source = labelled(tmp_path / "a.zarr", counts, zarr_format)
    result = baikal_run(source)
    assert result.exit_code == 0, result.output
    assert "left out" not in result.stderr
    output = tmp_path / "a_denoised.ome.zarr"
    assert_valid(output)
    assert attributes(output / "labels") == {"ome": {"version": "0.5", "labels": NAMES}}
    for name in NAMES:
        assert_valid(output / "labels" / name)
        found = attributes(output / "labels" / name)["ome"]
        assert found["image-label"] == {key: value for key, value in LABEL.items() if key != "version"}
        assert found["multiscales"][0]["datasets"][1]["path"] == "1"
        for level in "01":
            there, here = source / "labels" / name / level, output / "labels" / name / level
            np.testing.assert_array_equal(pixels(here), pixels(there))
            arrays = [zarr.open_array(path, mode="r") for path in (there, here)]
            assert arrays[0].chunks == arrays[1].chunks == (1, 40, 40)
            assert arrays[0].shards == arrays[1].shards
            assert arrays[1].metadata.dimension_names == ("z", "y", "x")


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_label_images_of_0_4(tmp_path: Path, counts: np.ndarray, zarr_format: Format) -> None:
    source, path = labelled(tmp_path / "a.zarr", counts, zarr_format), tmp_path / "out.ome.zarr"
    writer = format_of(path, Storage("0.4")).create(path, open_input(source).info)
    assert writer.copy_labels(source / "labels") == []
    writer.finish({})
    assert_valid(path)
    assert not list(path.rglob("zarr.json"))
    labels = json.loads((path / "labels" / ".zattrs").read_bytes())
    assert labels == {"labels": NAMES}
    for name in NAMES:
        assert_valid(path / "labels" / name)
        found = json.loads((path / "labels" / name / ".zattrs").read_bytes())
        assert found["image-label"] == LABEL
        assert found["multiscales"][0]["version"] == "0.4"
        for level in "01":
            np.testing.assert_array_equal(
                pixels(path / "labels" / name / level), pixels(source / "labels" / name / level)
            )
        assert (path / "labels" / name / "0" / "2" / "2" / "1").is_file()


def test_damaged_label_images_are_left_out_and_named(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    source = labelled(tmp_path / "a.zarr", counts, 2)
    (source / "labels" / NAMES[0] / "1" / "0.0.0").write_bytes(b"rubbish")
    result = baikal_run(source)
    assert result.exit_code == 0, result.output
    assert (
        f"note: label image {source / 'labels' / NAMES[0]} could not be read and was left out"
        in result.stderr
    )
    output = tmp_path / "a_denoised.ome.zarr"
    assert attributes(output / "labels")["ome"]["labels"] == NAMES[1:]
    assert not (output / "labels" / NAMES[0]).exists()
    assert NAMES[0] in json.dumps(attributes(output)["baikal"]["notes"])


def test_a_damaged_list_of_them_is_named(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    source = labelled(tmp_path / "a.zarr", counts, 2)
    (source / "labels" / ".zattrs").write_text("{")
    result = baikal_run(source)
    assert result.exit_code == 0, result.output
    assert f"note: label image {source / 'labels'} could not be read and was left out" in result.stderr
    assert not (tmp_path / "a_denoised.ome.zarr" / "labels").exists()


def test_a_tiff_has_no_place_for_them(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    source = labelled(tmp_path / "a.zarr", counts, 3)
    result = baikal_run(source, tmp_path / "out.tif")
    assert result.exit_code == 0, result.output
    assert f"note: label images in {source / 'labels'} were left out" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_while_they_are_copied_changes_nothing(tmp_path: Path, counts: np.ndarray) -> None:
    source = labelled(tmp_path / "a.zarr", counts, 3)
    arguments = [str(source), str(tmp_path / "out" / "result.zarr"), "--engine", "analytic"]
    kills = run_killed(tmp_path, 30, arguments)
    assert sum(kill["killed"] for kill in kills) == 30
    assert [kill for kill in kills if kill["wrong"] or kill["again"]] == []
