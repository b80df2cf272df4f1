"""Files of a Zarr array that another process is writing: what of it is there for good.

The shape of an array proves nothing: zarr-python enlarges it before the pixels are there, and acquire-zarr
writes its metadata and its shards in different threads. So every file is looked at. zarr-python puts a file
in its place when it is whole. acquire-zarr lets shards grow where they are, and writes the index at their
end last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.growing.base import CannotFollow
from baikal_deploy.volumes.zarr.guarded import METADATA
from baikal_deploy.volumes.zarr.reader import ZarrVolume

MISSING = np.uint64(2**64 - 1)
"""Offset, in the index of a shard, of a chunk that it does not hold."""
CHECKSUM = 4
"""Bytes of the checksum at the end of the index."""


@dataclass(frozen=True)
class Store:
    """Array and the files that it lies in.

    Attributes:
        array: the array.
        path: its folder.
        by_acquire_zarr: whether acquire-zarr writes it.
    """

    array: Any
    path: Path
    by_acquire_zarr: bool

    @classmethod
    def of(cls, volume: ZarrVolume, path: Path) -> Store:
        """Files of a volume, unless they are written again as the array grows, or cannot be looked into."""
        store = cls(volume.array, path, _is_by_acquire_zarr(path))
        if store.span > 1 and not store.by_acquire_zarr:
            raise CannotFollow(
                f"{path}: its files hold {store.span} steps of the first axis each, and are written again as "
                f"it grows, so nobody can tell what is whole; write it with chunks or shards of 1, or with "
                f"acquire-zarr, or run without --follow when it is whole"
            )
        if not _can_be_looked_into(volume.array):
            raise CannotFollow(
                f"{path}: its shards are encoded as a whole, or their index is, or is not at their end; "
                f"write it as zarr-python and acquire-zarr do, or run without --follow when it is whole"
            )
        return store

    @property
    def length(self) -> int:
        """Size of the first axis, as the metadata has it."""
        return int(self.array.shape[0])

    @property
    def edges(self) -> tuple[int, ...]:
        """Sides of the block of pixels that a file holds."""
        edges: tuple[int, ...] = self.array.shards or self.array.chunks
        return edges

    @property
    def span(self) -> int:
        """Steps of the first axis that a file holds."""
        return self.edges[0]

    def places(self, row: int) -> Iterator[tuple[int, ...]]:
        """Places, in the grid of files, of those files that hold the same steps."""
        sizes = zip(self.array.shape[1:], self.edges[1:], strict=True)
        yield from product((row,), *(range(-(-size // edge)) for size, edge in sizes))

    def file(self, place: tuple[int, ...]) -> Path:
        """Path of the file of a place."""
        return self.path / str(self.array.metadata.encode_chunk_key(place))

    def steps(self, known: int) -> int:
        """Number of steps of the first axis that are there for good, from the first on.

        Args:
            known: as many were there before.
        """
        for row in range(known // self.span, -(-self.length // self.span)):
            wanted = min(self.span, self.length - row * self.span)
            if not all(self._holds(place, wanted) for place in self.places(row)):
                return row * self.span
        return self.length

    def _holds(self, place: tuple[int, ...], steps: int) -> bool:
        """True if the first steps of a file are in it."""
        if self.array.shards is None:
            return self.file(place).is_file()
        grid = [edge // chunk for edge, chunk in zip(self.edges, self.array.chunks, strict=True)]
        index = _read_index(self.file(place), prod(grid))
        if index is None:
            return False
        # Chunks beyond the array's edges need not be there.
        inside = tuple(
            slice(-(-(size - number * edge) // chunk))
            for size, number, edge, chunk in zip(
                self.array.shape[1:], place[1:], self.edges[1:], self.array.chunks[1:], strict=True
            )
        )
        wanted = slice(-(-steps // self.array.chunks[0]))
        return bool((index[:, 0] != MISSING).reshape(grid)[(wanted, *inside)].all())


def _read_index(file: Path, chunks: int) -> Any:
    """Rows (offset, bytes) of the chunks of a shard; None where the shard has no index yet."""
    size = 16 * chunks + CHECKSUM
    try:
        with file.open("rb") as opened:
            before = opened.seek(0, os.SEEK_END) - size
            if before < 0:
                return None
            opened.seek(before)
            index = np.frombuffer(opened.read(size - CHECKSUM), "<u8").reshape(-1, 2)
    except FileNotFoundError:
        return None
    return index if _tiles(index, before) else None


def _tiles(index: Any, size: int) -> bool:
    """True if chunks fill a shard from its beginning to its index; else the bytes are not an index."""
    there = index[index[:, 0] != MISSING]
    there = there[np.argsort(there[:, 0])]
    ends = np.cumsum(there[:, 1])
    return bool(len(there) and ends[-1] == size and (there[1:, 0] == ends[:-1]).all() and there[0, 0] == 0)


def _is_by_acquire_zarr(path: Path) -> bool:
    """True if acquire-zarr writes an array, by the spelling of the metadata.

    It is sorted, unlike zarr-python's, and has what tensorstore leaves out.
    """
    metadata = metadata_of(path) or {}
    return list(metadata) == sorted(metadata) and "storage_transformers" in metadata


def metadata_of(path: Path) -> dict[str, Any] | None:
    if not (path / "zarr.json").is_file():
        return None
    try:
        if (size := (path / "zarr.json").stat().st_size) > METADATA:
            raise ValueError(f"it is larger than any metadata, of {size} bytes")
        found: dict[str, Any] = json.loads((path / "zarr.json").read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise VolumeError(f"{path}: its metadata is damaged, or half written ({error})") from error
    return found


def _can_be_looked_into(array: Any) -> bool:
    """True if the files are plain chunks, or shards with an index as ``_read_index`` takes it."""
    codecs = [codec.to_dict() for codec in getattr(array.metadata, "codecs", ())]  # Zarr 2 has no shards
    if "sharding_indexed" not in [codec["name"] for codec in codecs]:
        return True
    plain = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    sharding = codecs[0]["configuration"]
    return (
        len(codecs) == 1 and sharding["index_location"] == "end" and list(sharding["index_codecs"]) == plain
    )
