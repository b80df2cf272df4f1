"""How much compressed bytes unpack to, by looking at them."""

from __future__ import annotations

from contextlib import suppress

import numcodecs
import numpy as np
import pytest

from baikal_deploy.volumes.zarr.unpacking import require_unpacks

CODECS = {
    "blosc": numcodecs.Blosc(), "zstd": numcodecs.Zstd(), "lz4": numcodecs.LZ4(), "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(), "bz2": numcodecs.BZ2(), "lzma": numcodecs.LZMA(),
}  # fmt: skip


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", [1, 200, 256, 257, 65_535, 65_792, 70_000, 3_000_000])
@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_honest_bytes_pass(name: str, size: int, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size, "u1")
    data = bytes(CODECS[name].encode(noise if kind == "noise" else np.zeros(size, "u1")))
    require_unpacks(name, data, size)
    if len(data) * 1032 > size:  # else deflate need not be looked at
        with pytest.raises(ValueError, match="are not a chunk"):
            require_unpacks(name, data, size - 1)


@pytest.mark.parametrize("name", CODECS)
def test_bytes_that_are_cut_short_raise_nothing_else(name: str) -> None:
    data = bytes(CODECS[name].encode(np.arange(10_000)))
    for length in (0, 1, 5, 9, len(data) // 2):
        with suppress(ValueError):
            require_unpacks(name, data[:length], 10**6)


def test_unknown_codecs_pass() -> None:
    require_unpacks("pcodec", b"anything", 1)
