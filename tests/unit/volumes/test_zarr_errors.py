from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.zarr.reader import open_volume


def make_array(path: Path, shape: tuple[int, ...] = (4, 8, 8), **options: Any) -> Path:
    array = zarr.create_array(path, shape=shape, **{"dtype": "u2", **options})
    array[...] = 7
    return path


def make_image(path: Path, block: Any, **options: Any) -> Path:
    zarr.create_group(path, attributes={"ome": block})
    make_array(path / "0", **options)
    return path


def image_block(**changes: Any) -> dict[str, Any]:
    multiscale = {"axes": [{"name": n} for n in "zyx"], "datasets": [{"path": "0"}]}
    return {"version": "0.5", "multiscales": [multiscale | changes]}


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def message(path: Path) -> str:
    with pytest.raises(VolumeError) as caught:
        open_volume(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


def test_nothing_there(tmp_path: Path) -> None:
    assert "does not exist; check the path" in message(tmp_path / "nothing.zarr")


def test_a_path_that_the_system_refuses(tmp_path: Path) -> None:
    assert "File name too long; check the path" in message(tmp_path / ("a" * 300))


@pytest.mark.parametrize("name", ["a.nd2", "a.png"])
def test_a_file_is_no_zarr(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"II*\0")
    assert "NDTiff folders and Zarr stores can; convert it" in message(tmp_path / name)


def test_a_file_inside_a_store_names_the_store(tmp_path: Path) -> None:
    array = make_array(tmp_path / "a.zarr")
    assert f"give the folder {array}" in message(array / "zarr.json")


def test_a_folder_is_no_zarr(tmp_path: Path) -> None:
    assert "not a Zarr store (it has no zarr.json, .zarray or .zgroup); check the path" in message(tmp_path)
    make_array(tmp_path / "a.zarr")
    assert f"choose one inside it, such as {tmp_path / 'a.zarr'}" in message(tmp_path)


def test_a_group_lists_its_images(tmp_path: Path) -> None:
    plate = tmp_path / "plate.zarr"
    zarr.create_group(plate)
    assert "is a group, but not an image; check the path" in message(plate)
    zarr.create_group(plate / "A" / "1")
    make_image(plate / "A" / "1" / "0", image_block())
    make_image(plate / "B", image_block())
    choices = f"such as {plate / 'A' / '1' / '0'} (also {plate / 'B'})"
    assert f"is a group, but not an image; choose one inside it, {choices}" in message(plate)


@pytest.mark.parametrize(("shape", "found"), [((4,), 1), ((1, 1, 1, 1, 2, 2), 6)])
def test_too_few_or_too_many_dimensions(tmp_path: Path, shape: tuple[int, ...], found: int) -> None:
    text = message(make_array(tmp_path / "a", shape))
    assert f"an array of {found} dimensions; 2 to 5 are supported" in text


def test_axes_in_another_order_are_not_guessed(tmp_path: Path) -> None:
    text = message(make_array(tmp_path / "a", dimension_names=("x", "y", "z")))
    assert "axes (x, y, z) are not supported" in text
    axes = [{"name": n} for n in "xyz"]
    assert "axes (x, y, z)" in message(make_image(tmp_path / "i", image_block(axes=axes)))


def test_metadata_and_array_disagree(tmp_path: Path) -> None:
    text = message(make_image(tmp_path / "i", image_block(), shape=(8, 8)))
    assert "the metadata has 3 axes (z, y, x), but the array has 2 dimensions (8, 8)" in text


@pytest.mark.parametrize("dtype", ["complex64", "bool", "U3", "S3", [("a", "u1"), ("b", "f4")]])
def test_pixels_that_are_no_numbers(tmp_path: Path, dtype: Any) -> None:
    zarr.create_array(tmp_path / "a", shape=(4, 4), dtype=np.dtype(dtype), zarr_format=2)
    assert "are not supported; convert it to" in message(tmp_path / "a")


def test_no_pixels(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(0, 4), chunks=(1, 4), dtype="u1")
    assert "shape (0, 4) holds no pixels" in message(tmp_path / "a")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.6.dev1", "OME-NGFF 0.6.dev1 is newer than 0.5, and its coordinate systems would be misread"),
        ("1.0", "OME-NGFF 1.0 is newer"),
        ("0.3", "OME-NGFF 0.3 is not supported, only 0.4 and 0.5"),
        ("draft", "OME-NGFF draft is not supported"),
    ],
)
def test_other_versions_are_refused(tmp_path: Path, version: str, expected: str) -> None:
    assert expected in message(make_image(tmp_path / "i", image_block() | {"version": version}))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"type": "scale", "scale": [1, -2, 1]}], "scale [1.0, -2.0, 1.0] must be positive"),
        (
            [{"type": "scale", "scale": [1, float("inf"), 1]}],
            "scale [1, inf, 1] must be one finite number for each of the 3 axes",
        ),
        ([{"type": "scale", "scale": [1, 1]}], "scale [1, 1] must be one finite number for each"),
        ([{"type": "translation", "translation": [1]}], "translation [1] must be one finite number for each"),
        ([{"type": "affine"}], "coordinate transformation 'affine' is not supported"),
        ([{"type": "scale", "path": "scale"}], "OME-NGFF metadata is damaged (KeyError: 'scale')"),
        ([{"type": "scale", "scale": ["a", 1, 1]}], "OME-NGFF metadata is damaged (ValueError"),
    ],
)
def test_bad_transformations(tmp_path: Path, steps: list[dict[str, Any]], expected: str) -> None:
    assert expected in message(make_image(tmp_path / "i", image_block(coordinateTransformations=steps)))


@pytest.mark.parametrize(
    "block",
    [
        {"version": "0.5", "multiscales": []},
        {"version": "0.5", "multiscales": {}},
        {"version": "0.5", "multiscales": 3},
        image_block(axes=None),
        image_block(axes=["z", "y", "x"]),
        image_block(datasets=[]),
        image_block(datasets=[{}]),
    ],
)
def test_damaged_image_metadata(tmp_path: Path, block: Any) -> None:
    text = message(make_image(tmp_path / "i", block))
    assert "its OME-NGFF metadata is damaged" in text
    assert "export the image again" in text


@pytest.mark.parametrize("dataset", ["missing", "group"])
def test_an_array_that_the_metadata_lists_is_missing(tmp_path: Path, dataset: Any) -> None:
    image = make_image(tmp_path / "i", image_block(datasets=[{"path": dataset}]))
    zarr.create_group(image / "group")
    assert f"its metadata lists an array '{dataset}', but there is none" in message(image)


@pytest.mark.parametrize("content", ['{"a', "[]", '{"zarr_format":3,"node_type":"array"}'])
def test_damaged_zarr_metadata(tmp_path: Path, content: str) -> None:
    array = make_array(tmp_path / "a")
    (array / "zarr.json").write_text(content)
    assert "its Zarr metadata cannot be understood" in message(array)


@pytest.mark.parametrize("file", [".zarray", ".zattrs"])
def test_damaged_zarr_2_metadata(tmp_path: Path, file: str) -> None:
    array = make_array(tmp_path / "a", zarr_format=2)
    (array / file).write_text('{"a')
    assert "its Zarr metadata cannot be understood (JSONDecodeError" in message(array)


def test_an_unknown_codec_or_type_is_named(tmp_path: Path) -> None:
    array = make_array(tmp_path / "a")
    edit(array / "zarr.json", lambda content: content["codecs"].append({"name": "weird"}))
    assert "Unknown codec: 'weird'" in message(array)
    array = make_array(tmp_path / "b")
    edit(array / "zarr.json", lambda content: content.update(data_type="odd"))
    assert "'odd'" in message(array)


SHARDED = {"chunks": (1, 4, 8), "shards": (2, 8, 8)}


@pytest.mark.parametrize(
    ("options", "chunk"),
    [
        ({"chunks": (2, 8, 8)}, "c/1/0/0"),
        ({"chunks": (2, 8, 8), "compressors": None}, "c/1/0/0"),
        ({"chunks": (2, 8, 8), "zarr_format": 2}, "1.0.0"),
        ({"chunks": (2, 8, 8), "zarr_format": 2, "compressors": None}, "1.0.0"),
        (SHARDED, "c/1/0/0"),
        (SHARDED | {"compressors": None}, "c/1/0/0"),
    ],
)
@pytest.mark.parametrize("size", [0, 3, -1])
def test_a_damaged_chunk_is_named_and_others_read(
    tmp_path: Path, options: dict[str, Any], chunk: str, size: int
) -> None:
    array = make_array(tmp_path / "a", **options)
    (array / chunk).write_bytes((array / chunk).read_bytes()[:size])
    volume = open_volume(array)
    assert (volume.read([0, 1]) == 7).all()
    where = f"{array}: planes 2 to 3 (z=2 to z=3) cannot be read"
    for planes in (range(2, 4), range(4)):
        with pytest.raises(VolumeError) as caught:
            volume.read(planes)
        assert "the stored data is damaged: copy the volume again" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is not None
        assert planes == range(4) or str(caught.value).startswith(where)
    with pytest.raises(VolumeError, match=r"plane 3 \(z=3\) cannot be read"):
        volume.read_window(3, slice(0, 8), slice(0, 8))


def test_planes_that_do_not_exist(tmp_path: Path) -> None:
    volume = open_volume(make_array(tmp_path / "a"))
    with pytest.raises(VolumeError, match="no plane 4; planes are numbered 0 to 3"):
        volume.read(range(2, 6))
    with pytest.raises(VolumeError, match="no plane -1"):
        volume.read([-1])
    with pytest.raises(VolumeError, match="no plane 9"):
        volume.read_window(9, slice(None), slice(None))
    image = open_volume(make_array(tmp_path / "b", (3, 4)))
    with pytest.raises(VolumeError, match="no plane 1"):
        image.read([0, 1])
