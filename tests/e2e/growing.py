"""Writes a store step by step, as acquisition software does; run as a process of its own.

    python growing.py KIND PATH STEPS SECONDS [LAST]

KIND: acquire (a plain array), acquire-flat (of one plane a step), acquire-ngff, acquire-keyed (array 0 of a
group without metadata), append (zarr-python), preallocated, ndtiff. Between two steps it waits for SECONDS.
With LAST it stops before closing the store after so many steps, and waits to be killed.
Prints "ready" when all that it will write is written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

PLANE = (64, 48)
DEPTH = 2
"""Planes of a step."""

Put = Callable[[int, np.ndarray], Any]


def step(number: int) -> np.ndarray:
    """The pixels of a step: (DEPTH, *PLANE) uint16."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[: PLANE[0], : PLANE[1]]
    clean = 300 + 200 * np.sin(y / 9 + number) * np.cos(x / 7)
    return rng.poisson(np.stack([clean] * DEPTH)).astype(np.uint16)


def steps(count: int) -> np.ndarray:
    """(count, DEPTH, *PLANE)."""
    return np.stack([step(number) for number in range(count)])


@contextmanager
def acquire(path: Path, *, flat: bool = False, **settings: Any) -> Iterator[Put]:
    import acquire_zarr as aq

    space, time_ = aq.DimensionType.SPACE, aq.DimensionType.TIME
    dimensions = [
        aq.Dimension(name="t", kind=time_, array_size_px=0, chunk_size_px=2, shard_size_chunks=2),
        aq.Dimension(name="z", kind=space, array_size_px=DEPTH, chunk_size_px=1, shard_size_chunks=1),
        aq.Dimension(
            name="y", kind=space, array_size_px=64, chunk_size_px=32, shard_size_chunks=2, scale=0.5
        ),
        aq.Dimension(
            name="x", kind=space, array_size_px=48, chunk_size_px=48, shard_size_chunks=1, scale=0.5
        ),
    ]
    if flat:
        del dimensions[1]
    blosc = aq.CompressionSettings(
        compressor=aq.Compressor.BLOSC1, codec=aq.CompressionCodec.BLOSC_ZSTD, level=1, shuffle=1
    )
    array = aq.ArraySettings(
        dimensions=dimensions, data_type=np.dtype("uint16"), compression=blosc, **settings
    )
    stream = aq.ZarrStream(aq.StreamSettings(store_path=str(path), version=aq.ZarrVersion.V3, arrays=[array]))

    def put(number: int, pixels: np.ndarray) -> None:
        for plane in pixels[:1] if flat else pixels:
            stream.append(plane)

    yield put
    stream.close()


@contextmanager
def append(path: Path) -> Iterator[Put]:
    import zarr

    array = zarr.create_array(
        path,
        shape=(0, DEPTH, *PLANE),
        chunks=(1, 1, *PLANE),
        dtype="u2",
        dimension_names=["t", "z", "y", "x"],
    )
    yield lambda number, pixels: array.append(pixels[None])


@contextmanager
def preallocated(path: Path) -> Iterator[Put]:
    import zarr

    array = zarr.create_array(
        path,
        shape=(100, DEPTH, *PLANE),
        shards=(1, 2, 64, 64),
        chunks=(1, 1, 32, 32),
        dtype="u2",
        dimension_names=["t", "z", "y", "x"],
    )
    yield lambda number, pixels: array.__setitem__(number, pixels)


@contextmanager
def ndtiff(path: Path) -> Iterator[Put]:
    """The index is flushed in pieces of 100 bytes, so that it ends in the middle of entries."""
    from ndstorage import NDTiffDataset

    data = NDTiffDataset(str(path), name="run", writable=True)
    data.initialize({"PixelSize_um": 0.5, "z-step_um": 2.0})

    def put(number: int, pixels: np.ndarray) -> None:
        for z, plane in enumerate(pixels):
            data.put_image({"time": number, "z": z}, plane, {"PixelSizeUm": 0.5})
            if number == z == 0:
                data._index_file.close()
                data._index_file = open(Path(data.path, "NDTiff.index"), "ab", buffering=0)  # noqa: SIM115
                data._index_file = Torn(data._index_file, data.index)

    yield put
    data.finish()


class Torn:
    """A file that is written in pieces of 100 bytes."""

    def __init__(self, file: Any, first: Any) -> None:
        self._file, self._held = file, b""

    def write(self, text: bytes) -> None:
        self._held += text
        while len(self._held) >= 100:
            self._file.write(self._held[:100])
            self._held = self._held[100:]

    def close(self) -> None:
        self._file.write(self._held)
        self._file.close()


KINDS: dict[str, Any] = {
    "acquire": acquire,
    "acquire-flat": lambda path: acquire(path, flat=True),
    "acquire-ngff": lambda path: acquire(path, is_ngff=True),
    "acquire-keyed": lambda path: acquire(path, output_key="0"),
    "append": append,
    "preallocated": preallocated,
    "ndtiff": ndtiff,
}


def main(kind: str, path: str, count: str, seconds: str, last: str = "") -> None:
    with KINDS[kind](Path(path)) as put:
        for number in range(int(last or count)):
            put(number, step(number))
            time.sleep(float(seconds))
        if last:
            print("ready", flush=True)
            time.sleep(600)
    print("ready", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
