"""Sizes that compressed bytes unpack to, told before they do: 65 kB may become 2 GiB.

Formats: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst, RFC 8878 (zstd), RFC 1950 and
1952 (zlib and gzip).
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

STEP = 2**20
_ZSTD, _BLOCK = 0xFD2FB528, 2**17
_DEFLATE = 1032
"""Times that deflate shrinks bytes at most."""

Bytes = bytes | memoryview


def require_unpacks(codec: str, data: Bytes, most: int) -> None:
    """Refuse bytes that a codec makes too many of.

    Args:
        codec: its name in Zarr; of unknown ones nothing is known.
        data: the compressed bytes.
        most: bytes that they may unpack to.

    Raises:
        ValueError: they unpack to more, or are cut short.
    """
    if (size := _SIZES.get(codec)) is not None and size(memoryview(data).cast("B"), most) > most:
        raise ValueError(f"compressed bytes that unpack to more than {most} are not a chunk of this array")


def _number(data: memoryview, start: int, size: int) -> int:
    if start + size > len(data):
        raise ValueError("compressed bytes are cut short")
    return int.from_bytes(data[start : start + size], "little")


def _blosc(data: memoryview, most: int) -> int:
    return _number(data, 4, 4)


def _lz4(data: memoryview, most: int) -> int:
    return _number(data, 0, 4)


def _zstd(data: memoryview, most: int) -> int:
    """Bytes of the first frame, as numcodecs reads no other; without a size, what its blocks may hold."""
    if _number(data, 0, 4) != _ZSTD:
        return 0  # which will not unpack
    flags = _number(data, 4, 1)
    alone, width = flags >> 5 & 1, (0, 2, 4, 8)[flags >> 6]
    at = 5 + (1 - alone) + (0, 1, 2, 4)[flags & 3]
    if width or alone:
        return _number(data, at, width or 1) + (256 if width == 2 else 0)
    held = last = 0
    while not last and held <= most:
        block = _number(data, at, 3)
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        held += _BLOCK if kind == 2 else size
        at += 3 + (1 if kind == 1 else size)
    return held


def _deflate(data: memoryview, most: int) -> int:
    return _streamed(lambda: zlib.decompressobj(47), data, most) if len(data) * _DEFLATE > most else 0


def _bz2(data: memoryview, most: int) -> int:
    return _streamed(bz2.BZ2Decompressor, data, most)


def _lzma(data: memoryview, most: int) -> int:
    return _streamed(lzma.LZMADecompressor, data, most)


def _streamed(make: Callable[[], Any], data: Bytes, most: int) -> int:
    """Bytes that streams hold, by unpacking one after the other step by step, up to the limit."""
    held, rest = 0, bytes(data)
    try:
        while rest and held <= most:
            stream = make()
            while not stream.eof and held <= most:
                part = stream.decompress(rest, STEP)
                rest = getattr(stream, "unconsumed_tail", b"")
                held += len(part)
                if not part and not rest:
                    break
            rest = stream.unused_data
    except (zlib.error, lzma.LZMAError, OSError):
        pass  # whoever unpacks it says what is wrong
    return held


_SIZES: dict[str, Callable[[memoryview, int], int]] = {
    "blosc": _blosc, "zstd": _zstd, "lz4": _lz4, "gzip": _deflate, "zlib": _deflate, "bz2": _bz2,
    "lzma": _lzma,
}  # fmt: skip
