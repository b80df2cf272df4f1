"""Zarr stores that hold several images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.zarr.collections import MAX_LISTED

Format = Literal[2, 3]
FORMATS: list[Format] = [2, 3]


def group(path: Path, zarr_format: Format, block: dict[str, Any] | None = None) -> Path:
    """A group with NGFF attributes, 0.4 in Zarr 2 and 0.5 in Zarr 3."""
    attributes = block if zarr_format == 2 or block is None else {"ome": {"version": "0.5", **block}}
    zarr.create_group(path, attributes=attributes, zarr_format=zarr_format)
    return path


def image(path: Path, zarr_format: Format, value: int) -> None:
    axes = [{"name": name, "type": "space"} for name in "yx"]
    steps = [{"type": "scale", "scale": [1, 1]}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    group(path, zarr_format, {"multiscales": [{"axes": axes, "datasets": datasets, "version": "0.4"}]})
    zarr.create_array(path / "0", data=np.full((8, 8), value, "u1"), zarr_format=zarr_format)


def layout(path: Path, zarr_format: Format, names: str, series: list[str] | None = None) -> Path:
    """Images in bioformats2raw's layout; that of name "3" has the value 3."""
    group(path, zarr_format, {"bioformats2raw.layout": 3})
    group(path / "OME", zarr_format, {} if series is None else {"series": series})
    for name in names:
        image(path / name, zarr_format, int(name))
    return path


def value(path: Path, series: int | None = None) -> int:
    return int(open_input(path, series).read([0])[0, 0, 0])


def refused(path: Path, series: int | None = None) -> str:
    with pytest.raises(VolumeError) as caught:
        open_input(path, series)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_the_only_image_is_taken(tmp_path: Path, zarr_format: Format) -> None:
    image(layout(tmp_path / "a.zarr", zarr_format, "") / "0", zarr_format, 7)
    assert value(tmp_path / "a.zarr") == value(tmp_path / "a.zarr", 0) == 7
    assert "there is no series 1" in refused(tmp_path / "a.zarr", 1)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_one_of_several_must_be_chosen(tmp_path: Path, zarr_format: Format) -> None:
    path = layout(tmp_path / "a.zarr", zarr_format, "012")
    assert [value(path, series) for series in range(3)] == [0, 1, 2]
    text = refused(path)
    assert "holds 3 images (0: 0, 1: 1, 2: 2)" in text
    assert "choose one with --series N" in text
    assert "there is no series 3" in refused(path, 3)
    assert "there is no series -1" in refused(path, -1)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_the_listed_order_counts(tmp_path: Path, zarr_format: Format) -> None:
    path = layout(tmp_path / "a.zarr", zarr_format, "012", series=["2", "0"])
    assert [value(path, series) for series in range(2)] == [2, 0]
    assert "holds 2 images (0: 2, 1: 0)" in refused(path)


def test_a_layout_without_images(tmp_path: Path) -> None:
    assert "holds no image" in refused(layout(tmp_path / "a.zarr", 3, ""))


def test_a_single_image_has_no_other_series(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", 3, 5)
    assert value(tmp_path / "a.zarr", 0) == 5
    assert "no series 1" in refused(tmp_path / "a.zarr", 1)


def plate(path: Path, zarr_format: Format, wells: int) -> Path:
    listed = [{"path": f"A/{well}", "rowIndex": 0, "columnIndex": well - 1} for well in range(1, wells + 1)]
    columns = [{"name": str(well)} for well in range(1, wells + 1)]
    block = {
        "name": "a plate",
        "rows": [{"name": "A"}],
        "columns": columns,
        "wells": listed,
        "field_count": 1,
    }
    group(path, zarr_format, {"plate": block, "bioformats2raw.layout": 3})
    group(path / "A", zarr_format)
    for well in range(1, wells + 1):
        group(path / "A" / str(well), zarr_format, {"well": {"images": [{"path": "0"}]}})
        image(path / "A" / str(well) / "0", zarr_format, well)
    return path


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_a_plate_is_refused_with_its_fields(tmp_path: Path, zarr_format: Format) -> None:
    path = plate(tmp_path / "a.zarr", zarr_format, 2)
    text = refused(path)
    assert "is a plate, with the fields A/1/0, A/2/0; give the path of one of them" in text
    assert f"such as {path / 'A/1/0'}" in text
    assert refused(path, 0) == text
    assert [value(path / "A" / str(well) / "0") for well in (1, 2)] == [1, 2]


def test_a_large_plate_is_listed_in_part(tmp_path: Path) -> None:
    text = refused(plate(tmp_path / "a.zarr", 3, MAX_LISTED + 1))
    assert text.count("/0,") == MAX_LISTED
    assert ", and more; give" in text
    assert "and more" not in refused(plate(tmp_path / "b.zarr", 3, MAX_LISTED))


def test_a_well_suggests_its_fields(tmp_path: Path) -> None:
    path = plate(tmp_path / "a.zarr", 3, 1) / "A" / "1"
    assert f"choose one inside it, such as {path / '0'}" in refused(path)
