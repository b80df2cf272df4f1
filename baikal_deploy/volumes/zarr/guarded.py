"""Zarr stores of which nothing is believed.

What is not a file, or too large, stays closed, and no chunk unpacks to more than the array says that it
holds. zarr-python reads whatever lies where a file is looked for: pipes, on which it waits for ever, and
devices.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from threading import Lock
from typing import Any

import zarr
from zarr.abc.store import RangeByteRequest
from zarr.registry import get_codec_class, register_codec
from zarr.storage import LocalStore, ObjectStore

from baikal_deploy.errors import VolumeError
from baikal_deploy.host import machine
from baikal_deploy.untrusted.nesting import require_shallow
from baikal_deploy.volumes.urls import Source, Url, fetch, open_store
from baikal_deploy.volumes.zarr.unpacking import require_unpacks

METADATA = 64 * 2**20
"""Bytes of a file of metadata, at most."""
SLACK = 2**20
FACTOR = 16
"""Times that a chunk may be larger before filters, of one byte to eight and the like, are undone."""
INDEX_ENTRY = 16
CODECS = (
    "blosc",
    "gzip",
    "zstd",
    *(f"numcodecs.{name}" for name in ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")),
)


class _Guarded:
    """Limits that both kinds of store keep.

    Attributes:
        largest: bytes of what may be read at once.
        packed: the codec that all files are packed with, where there is one for whole files, and to how many
            bytes they may unpack.
    """

    largest: int = METADATA
    packed: tuple[str, int] | None = None

    def require(self, key: str, size: int, asked: Any) -> None:
        """Raise ValueError for a file that is too large, or ends before what is asked for."""
        if isinstance(asked, RangeByteRequest):
            if asked.end > size:
                raise ValueError(f"file {key} ends before its chunk does")
            size = asked.end - asked.start
        elif asked is not None:
            size = min(size, getattr(asked, "suffix", size))
        if size > self.largest:
            raise ValueError(f"file {key} is larger than anything of its kind, of {size} bytes")

    def checked(self, key: str, found: Any) -> Any:
        """Return what was read, unless it unpacks to too much."""
        if found is not None and self.packed is not None and not key.rpartition("/")[2].startswith(".z"):
            require_unpacks(self.packed[0], found.to_bytes(), self.packed[1])
        return found


class GuardedFolder(_Guarded, LocalStore):
    """Store in a folder, which reads nothing but files."""

    def _is_file(self, key: str, asked: Any) -> bool:
        """True if there is a file that may be read; a folder counts as nothing."""
        try:
            status = (self.root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISDIR(status.st_mode):  # which Windows would not open, as if access were denied
            return False
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{key} is not a file, but a pipe, a device or the like")
        self.require(key, status.st_size, asked)
        return True

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        if not self._is_file(key, byte_range):
            return None
        return self.checked(key, await super().get(key, prototype, byte_range))

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        if not self._is_file(key, byte_range):
            return None
        return self.checked(key, super().get_sync(key, prototype=prototype, byte_range=byte_range))

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        wanted = list(key_ranges)
        for key, asked in wanted:
            self._is_file(key, asked)
        return await super().get_partial_values(prototype, wanted)


class GuardedObjects(_Guarded, ObjectStore[Any]):
    """Store at a server, which reads no objects that are too large."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if byte_range is not None:
            if isinstance(byte_range, RangeByteRequest):
                self.require(key, byte_range.end, byte_range)
            return await super().get(key, prototype, byte_range)
        found = await fetch(self.store, key, lambda size: self.require(key, size, None))
        return None if found is None else self.checked(key, prototype.buffer.from_bytes(found))


def open_guarded(path: Source) -> zarr.Array[Any] | zarr.Group:
    """Open an array or group. Damaged metadata ends in any exception.

    Raises:
        VolumeError: its chunks do not fit the memory.
    """
    store: GuardedObjects | GuardedFolder
    if isinstance(path, Url):
        store = GuardedObjects(open_store(path), read_only=True)
    else:
        store = GuardedFolder(path, read_only=True)
    with _guarded_codecs():
        # Consolidated metadata is a copy, and often a stale one.
        node = zarr.open(store, mode="r", use_consolidated=False)
    require_shallow(node.attrs.asdict())
    if isinstance(node, zarr.Array):
        _limit(path, store, node)
    return node


def _limit(path: Source, store: _Guarded, array: zarr.Array[Any]) -> None:
    """Tell a store how large the chunks of its array may be."""
    chunk, whole = prod(array.chunks), prod(array.shards or array.chunks)
    if not chunk:
        raise ValueError(f"chunks of {array.chunks}")
    itemsize = int(array.dtype.itemsize)
    index = INDEX_ENTRY * -(-whole // chunk)
    total = machine.memory().total
    if total is not None and chunk * itemsize + index > total:
        raise VolumeError(
            f"{path}: its chunks of {'x'.join(map(str, array.chunks))} pixels, in files of "
            f"{'x'.join(map(str, array.shards or array.chunks))}, do not fit the memory of this machine; "
            f"store it with smaller ones"
        )
    store.largest = 2 * whole * itemsize + index + SLACK
    if array.metadata.zarr_format == 2 and array.metadata.compressor is not None:
        store.packed = array.metadata.compressor.codec_id, FACTOR * chunk * itemsize + SLACK


_OPENING = Lock()
_guards: dict[str, str] = {}


@contextmanager
def _guarded_codecs() -> Iterator[None]:
    """Give arrays that are opened within the context codecs that look before they unpack."""
    with _OPENING:
        if not _guards:
            _guards.update({name: _register(name) for name in CODECS})
        with zarr.config.set({"codecs": {**zarr.config.get("codecs"), **_guards}}):
            yield


def _register(name: str) -> str:
    """Make a codec that looks first, and return how Zarr's configuration calls it."""
    usual: Any = get_codec_class(name)
    kind = name.rpartition(".")[2]

    class Guard(usual):  # type: ignore[misc]
        async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
            size = prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
            require_unpacks(kind, chunk_bytes.to_bytes(), FACTOR * size + SLACK)
            return await super()._decode_single(chunk_bytes, chunk_spec)

    Guard.__name__ = Guard.__qualname__ = usual.__name__
    register_codec(name, Guard, qualname=(qualname := f"{__name__}.{name}"))
    return qualname
