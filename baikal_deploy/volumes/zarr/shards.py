"""Shards written whole: their chunks compressed beside each other, and an index behind them.

zarr-python takes twice as long for a shard, most of it to hand chunks from one of its coroutines to the next.
Format: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html, with the chunks in
C order and zstd without a checksum, as ``format.py`` creates the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd  # type: ignore[import-untyped]

from baikal_deploy.host.machine import usable_cores
from baikal_deploy.host.moves import move, remove_file
from baikal_deploy.pixels.arrays import Raw

ZSTD_LEVEL = 1
"""Higher levels take several times as long, and save a few hundredths of images of noise."""
MOST_THREADS = 4
"""Threads that compress: more would only wait for the disk, and be in the network's way."""
_MISSING = 2**64 - 1
"""Offset and length of a chunk that holds nothing but zeros, and is not stored."""


def write_shard(file: Path, pixels: Raw, shard: Sequence[int], chunk: Sequence[int]) -> None:
    """Write all pixels of a shard; a file of nothing but zeros is not there.

    Args:
        file: of the shard.
        pixels: of the shard's dimensions; fewer than it holds, at the end of the array.
        shard, chunk: their shapes.

    Raises:
        OSError: a full disk and the like; nothing is left of it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{uuid4().hex}.partial")  # two workers may have one item in work
    try:
        with new.open("wb") as opened:
            stored = _write(opened, pixels, shard, chunk)
        if stored:
            move(new, file)
        else:
            remove_file(file)
    finally:
        remove_file(new)


def _write(file: BinaryIO, pixels: Raw, shard: Sequence[int], chunk: Sequence[int]) -> int:
    """Write the chunks of a shard, and its index; return the bytes of the chunks."""
    grid = [size // edge for size, edge in zip(shard, chunk, strict=True)]
    index, offset = np.full((*grid, 2), _MISSING, "<u8"), 0
    for place, packed in _packed(pixels, chunk):
        if packed is not None:
            index[place] = offset, len(packed)
            offset += file.write(packed)
    table = index.tobytes()
    file.write(table + google_crc32c.value(table).to_bytes(4, "little"))
    return offset


def _packed(pixels: Raw, chunk: Sequence[int]) -> Iterator[tuple[tuple[int, ...], bytes | None]]:
    """Each chunk's place in the shard, and its bytes; None for nothing but zeros."""
    places = list(product(*(range(-(-size // edge)) for size, edge in zip(pixels.shape, chunk, strict=True))))
    pack = partial(_pack, pixels, chunk)
    threads = min(MOST_THREADS, usable_cores(), len(places))
    if threads == 1:
        yield from zip(places, map(pack, places), strict=True)
        return
    with ThreadPoolExecutor(threads, "compress") as pool:
        yield from zip(places, pool.map(pack, places), strict=True)


def _pack(pixels: Raw, chunk: Sequence[int], place: Sequence[int]) -> bytes | None:
    spans = (slice(at * edge, (at + 1) * edge) for at, edge in zip(place, chunk, strict=True))
    own = pixels[tuple(spans)]
    if not own.any():
        return None
    missing = [(0, edge - size) for edge, size in zip(chunk, own.shape, strict=True)]
    if any(after for _, after in missing):
        own = np.pad(own, missing)
    stored = np.ascontiguousarray(own, own.dtype.newbyteorder("<"))
    packed: bytes = Zstd(level=ZSTD_LEVEL).encode(stored)
    return packed
