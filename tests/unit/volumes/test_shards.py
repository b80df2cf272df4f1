"""Shards that are written whole, as zarr-python reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

from baikal_deploy.volumes.zarr.shards import ZSTD_LEVEL, write_shard


def made(
    path: Path, shape: tuple[int, ...], shard: tuple[int, ...], chunk: tuple[int, ...], dtype: Any
) -> Any:
    codec = ZstdCodec(level=ZSTD_LEVEL)
    return zarr.create_array(path, shape=shape, dtype=dtype, shards=shard, chunks=chunk, compressors=codec)


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i4", "f4", "f8"])
@pytest.mark.parametrize(
    ("shape", "shard", "chunk"),
    [
        ((5, 30, 40), (4, 32, 40), (1, 16, 20)),
        ((2, 7, 17, 9), (1, 8, 20, 9), (1, 1, 10, 9)),
        ((6, 6), (6, 6), (3, 3)),
    ],
)  # fmt: skip
def test_zarr_reads_what_was_written(
    shape: tuple[int, ...], shard: tuple[int, ...], chunk: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    array = made(tmp_path / "a.zarr", shape, shard, chunk, dtype)
    pixels = np.random.default_rng(shape).integers(0, 99, shape).astype(dtype)
    pixels[..., : chunk[-2], : chunk[-1]] = 0  # a chunk that is not stored
    for place in np.ndindex(*(-(-size // edge) for size, edge in zip(shape, shard, strict=True))):
        spans = tuple(slice(at * edge, (at + 1) * edge) for at, edge in zip(place, shard, strict=True))
        file = tmp_path / "a.zarr" / array.metadata.encode_chunk_key(place)
        write_shard(file, pixels[spans], shard, chunk)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[:], pixels)
    assert not list((tmp_path / "a.zarr").rglob("*.partial"))


def test_the_files_are_as_small_as_zarrs(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).poisson(300, (3, 64, 64)).astype(np.uint16)
    array = made(tmp_path / "a.zarr", (3, 64, 64), (3, 64, 64), (1, 32, 32), "u2")
    array[:] = pixels
    file = tmp_path / "a.zarr" / array.metadata.encode_chunk_key((0, 0, 0))
    write_shard(tmp_path / "ours", pixels, array.shards, array.chunks)
    assert (tmp_path / "ours").stat().st_size == file.stat().st_size


def test_a_shard_of_zeros_is_no_file_and_takes_the_one_away_that_was_there(tmp_path: Path) -> None:
    for value, there in ((1, True), (0, False)):
        write_shard(tmp_path / "c" / "0", np.full((1, 4, 4), value, np.uint8), (1, 4, 4), (1, 2, 2))
        assert (tmp_path / "c" / "0").exists() == there
    assert not list((tmp_path / "c").iterdir())


def test_nothing_is_left_of_what_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").write_bytes(b"earlier")

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("baikal_deploy.volumes.zarr.shards._write", full)
    with pytest.raises(OSError, match="no space"):
        write_shard(tmp_path / "s", np.ones((1, 4, 4), np.uint8), (1, 4, 4), (1, 4, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert (tmp_path / "s").read_bytes() == b"earlier"
