"""Files that say they are huge, or that are no files: each ends soon, in little memory and in one line."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from baikal_deploy.models.manifest import METADATA_KEY, read_manifest, shipped_models
from tests.capabilities import require
from tests.e2e.bounded import bounded
from tests.e2e.conftest import write_zarr
from tests.e2e.test_labels import NAMES, labelled
from tests.unit.volumes.test_collections import group
from tests.unit.volumes.test_vendors import write_ndtiff

BOMB = 2**28
"""Bytes that each bomb unpacks to; what reads them all needs them twice."""


def array(path: Path, **metadata: Any) -> Path:
    """A Zarr array of ones whose metadata says something else."""
    write_zarr(path, np.ones((2, 64, 64), "u2"), chunks=(1, 64, 64))
    content = json.loads((path / "zarr.json").read_bytes())
    (path / "zarr.json").write_text(json.dumps(content | metadata))
    return path


def grid(*chunk: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": chunk}}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"shape": [10**9, 10**6, 10**6]}, "larger than any disk"),
        ({"shape": [10**8, 10**6, 64, 64], "chunk_grid": grid(1, 1, 64, 64)}, ""),
        ({"shape": [2**70, 64, 64]}, "larger than any disk"),
        ({"chunk_grid": grid(1, 10**6, 10**6)}, "do not fit the memory"),
        ({"chunk_grid": grid(0, 64, 64)}, "its Zarr metadata cannot be understood"),
        ({"attributes": {"x": "y" * 10**7}}, ""),
    ],
)
def test_sizes(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    said = bounded("read", array(tmp_path / "a.zarr", **metadata))
    assert message in said if message else float(said) in (0.0, 1.0)


@pytest.mark.parametrize("levels", [100, 400, 100_000])
def test_nested_metadata(tmp_path: Path, levels: int) -> None:
    path = array(tmp_path / "a.zarr")
    text, nested = (path / "zarr.json").read_text(), "[" * levels + "]" * levels
    (path / "zarr.json").write_text(text.replace('"attributes": {}', f'"attributes": {{"x": {nested}}}'))
    assert "its Zarr metadata cannot be understood" in bounded("read", path)


def test_an_index_of_a_shard(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_zarr(path, np.ones((2, 64, 64), "u2"), chunks=(1, 32, 32), shards=(1, 64, 64))
    content = json.loads((path / "zarr.json").read_bytes())
    content["chunk_grid"] = grid(1, 10**6, 10**6)
    content["codecs"][0]["configuration"]["chunk_shape"] = [1, 1, 1]
    (path / "zarr.json").write_text(json.dumps(content))
    os.truncate(path / "c/0/0/0", 2**42)
    assert "do not fit the memory" in bounded("read", path)


def pipe(file: Path) -> None:
    require("fifos")
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def device(file: Path) -> None:
    require("links")
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/zero")


def endless(file: Path) -> None:
    file.touch()
    os.truncate(file, 2**42)


@pytest.mark.parametrize("replace", [pipe, device, endless])
@pytest.mark.parametrize("name", ["0.0.0", ".zattrs", ".zarray"])
def test_what_is_no_file(tmp_path: Path, name: str, replace: Callable[[Path], None]) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=np.ones((2, 64, 64), "u2"), chunks=(1, 64, 64), zarr_format=2)
    replace(path / name)
    said = bounded("read", path)
    assert said.startswith("error: ")
    assert re.search("not a file|larger than anything|not a Zarr store", said)


def deflated(bits: int) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, bits)
    return b"".join([*(stream.compress(bytes(2**24)) for _ in range(BOMB >> 24)), stream.flush()])


def without_size(data: bytes) -> bytes:
    """A zstd frame that leaves out what it holds, as streams do."""
    flags = data[4]
    width, alone = (1, 2, 4, 8)[flags >> 6], flags >> 5 & 1
    assert not alone
    assert not flags & 3
    return data[:4] + bytes([flags & 0x3F]) + data[5:6] + data[6 + width :]


ZEROS = np.zeros(BOMB, "u1")
BOMBS: dict[str, tuple[Any, int, Callable[[], bytes]]] = {
    "zstd": (ZstdCodec(), 3, lambda: numcodecs.Zstd(1).encode(ZEROS)),
    "zstd without a size": (ZstdCodec(), 3, lambda: without_size(numcodecs.Zstd(1).encode(ZEROS))),
    "blosc": (BloscCodec(), 3, lambda: numcodecs.Blosc("zstd").encode(ZEROS)),
    "gzip": (GzipCodec(), 3, lambda: deflated(31)),
    "zlib": (numcodecs.Zlib(), 2, lambda: deflated(15)),
    "bz2": (numcodecs.BZ2(), 2, lambda: bz2.compress(bytes(2**24)) * 16),
    "lzma": (numcodecs.LZMA(), 2, lambda: lzma.compress(bytes(2**24)) * 16),
    "old zstd": (numcodecs.Zstd(), 2, lambda: numcodecs.Zstd(1).encode(ZEROS)),
    "old blosc": (numcodecs.Blosc(), 2, lambda: numcodecs.Blosc("zstd").encode(ZEROS)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_chunks_that_unpack_to_too_much(tmp_path: Path, kind: str) -> None:
    codec, zarr_format, make = BOMBS[kind]
    path = tmp_path / "a.zarr"
    # Chunks of 2 MB: the packed ones are no larger.
    made = zarr.create_array(
        path,
        shape=(1, 1024, 1024),
        chunks=(1, 1024, 1024),
        dtype="u2",
        compressors=codec,
        zarr_format=zarr_format,
    )
    made[...] = np.broadcast_to(np.arange(1024, dtype="u2"), made.shape)
    assert bounded("read", path) == "15.5"
    file = path / ("c/0/0/0" if zarr_format == 3 else "0.0.0")
    file.write_bytes(make())
    assert "are not a chunk of this array" in bounded("read", path)


def test_chunks_of_a_shard_that_unpack_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    big = zarr.create_array(
        path, shape=(2, 2**12, 2**12), chunks=(1, 2**12, 2**12), shards=(2, 2**12, 2**12), dtype="u1"
    )
    big[0, :1, :1] = 1
    content = json.loads((path / "zarr.json").read_bytes())
    content["shape"], content["chunk_grid"] = [2, 64, 64], grid(2, 64, 64)
    content["codecs"][0]["configuration"]["chunk_shape"] = [1, 64, 64]
    (path / "zarr.json").write_text(json.dumps(content))
    assert "are not a chunk of this array" in bounded("read", path)


def ome(path: Path, **numbers: int) -> Path:
    """An OME-TIFF of 6 planes whose XML says something else."""
    tifffile.imwrite(path, np.ones((2, 3, 32, 32), "u2"), metadata={"axes": "CZYX"})
    xml = tifffile.tiffcomment(path)
    for name, number in numbers.items():
        xml = re.sub(rf'\b{name}="[^"]*"', f'{name}="{number}"', xml)
    tifffile.tiffcomment(path, xml.encode())
    return path


@pytest.mark.parametrize(
    "numbers",
    [
        {"SizeZ": 2 * 10**9},
        {"SizeZ": 2 * 10**9, "SizeT": 2 * 10**9},
        {"SizeX": 2 * 10**9},
        {"SizeZ": 2 * 10**9, "PlaneCount": 2 * 10**9},
        {"SizeZ": -2 * 10**9, "SizeC": -2},
    ],
)
def test_planes_of_an_ome_tiff(tmp_path: Path, numbers: dict[str, int]) -> None:
    assert "more than the 4000000 that are believed" in bounded(
        "read", ome(tmp_path / "a.ome.tif", **numbers)
    )


def test_a_model_of_numbers_that_are_none(tmp_path: Path) -> None:
    for edit, message in {
        lambda data: data["schedule"].update(num_timesteps=10**9): "at most 100000",
        lambda data: data["schedule"].update(kind="explicit", betas=[-0.1] * 1000): "every beta",
        lambda data: data["schedule"].update(kind="explicit", betas=[float("nan")] * 1000): "every beta",
        lambda data: data["schedule"].update(kind="explicit", betas=[0.999] * 1000): "nothing of it",
        lambda data: data["schedule"].update(kind="explicit", betas=[1e-17] * 1000): "as it is",
        lambda data: data.update(downsampling=10**9): "downsampling",
        lambda data: data.update(verification={"x": json.loads("[" * 300 + "]" * 300)}): "nested deeper",
    }.items():
        data = json.loads(read_manifest(shipped_models()["nuclei"]).to_json())
        edit(data)
        file = tmp_path / "a.onnx"
        file.write_bytes(onnx_of(json.dumps(data)))
        said = bounded("model", file)
        assert said.startswith(f"error: {file}: the manifest is damaged"), said
        assert message in said, said
        assert len(said) < 800


def varint(number: int) -> bytes:
    return (
        b""
        if number < 0
        else bytes([number])
        if number < 128
        else bytes([number & 127 | 128]) + varint(number >> 7)
    )


def onnx_of(manifest: str) -> bytes:
    """An .onnx file of a manifest and nothing else."""
    texts = (METADATA_KEY.encode(), manifest.encode())
    entry = b"".join(
        bytes([field << 3 | 2]) + varint(len(text)) + text for field, text in enumerate(texts, 1)
    )
    return bytes([14 << 3 | 2]) + varint(len(entry)) + entry


@pytest.mark.parametrize("size", [2**27, 2**42])
def test_a_model_of_zeros(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.onnx").touch()
    os.truncate(tmp_path / "a.onnx", size)
    assert bounded("model", tmp_path / "a.onnx").startswith("error: ")


def test_an_index_without_end(tmp_path: Path) -> None:
    pytest.importorskip("ndstorage")
    path = write_ndtiff(tmp_path / "in")
    os.truncate(path / "NDTiff.index", 2**42)
    assert "larger than any index" in bounded("read", path)


def test_label_images_without_end(tmp_path: Path, counts: np.ndarray) -> None:
    """What is stored is copied; a grid of a thousand million chunks is not walked through."""
    store = labelled(tmp_path / "a.zarr", counts, 3)
    level = store / "labels" / NAMES[0] / "0"
    content = json.loads((level / "zarr.json").read_bytes())
    (level / "zarr.json").write_text(json.dumps(content | {"shape": [10**9, *content["shape"][1:]]}))
    output = group(tmp_path / "out.zarr", 3)
    assert bounded("labels", store / "labels", output) == ""
    copied = zarr.open_array(output / "labels" / NAMES[0] / "0", mode="r")
    assert copied.shape[0] == 10**9
    (level / "zarr.json").write_text(json.dumps(content))
    before = zarr.open_array(level, mode="r")[...]
    np.testing.assert_array_equal(copied[: len(before)], before)
