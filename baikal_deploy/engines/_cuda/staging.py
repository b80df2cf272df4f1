"""Copies between NumPy arrays and the GPU by way of page-locked memory."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.pixels.arrays import Planes

SIZE = 4 << 20
"""Bytes of a buffer."""


@dataclass(frozen=True)
class _Buffer:
    """Page-locked memory.

    Attributes:
        address, bytes: the memory.
        copied: when the last copy from it or to it is done.
    """

    address: int
    bytes: NDArray[np.uint8]
    copied: Any


class Staging:
    """Two buffers that a copy uses in turn: while the GPU copies one, the host fills or empties the other.

    A buffer is used again only when its last copy is done. Threads wait for each other.

    Arguments:
        size: bytes of a buffer.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._size, self._lock = size, threading.Lock()
        with ExitStack() as kept:
            self._turns = itertools.cycle([_buffer(size, kept) for _ in range(2)])
            self._kept = kept.pop_all()

    def upload(self, source: NDArray[Any], target: int, stream: Any) -> None:
        """Copy a contiguous array to an address of the GPU; returns before the stream has done it."""
        values = source.reshape(-1).view(np.uint8)
        with self._lock:
            for part in self._parts(values.size):
                buffer, count = next(self._turns), part.stop - part.start
                _cuda.wait(buffer.copied)
                buffer.bytes[:count] = values[part]
                _cuda.copy_to_device(target + part.start, buffer.address, count, stream)
                _cuda.record(buffer.copied, stream)

    def download(self, source: int, target: NDArray[Any], stream: Any) -> None:
        """Copy from an address of the GPU to a contiguous array, when the stream is done with all before."""
        values = target.reshape(-1).view(np.uint8)
        full: tuple[_Buffer, slice] | None = None
        with self._lock:
            for part in self._parts(values.size):
                buffer, count = next(self._turns), part.stop - part.start
                _cuda.wait(buffer.copied)
                _cuda.copy_to_host(buffer.address, source + part.start, count, stream)
                _cuda.record(buffer.copied, stream)
                _empty(full, values)
                full = buffer, part
            _empty(full, values)

    def _parts(self, size: int) -> Iterator[slice]:
        for start in range(0, size, self._size):
            yield slice(start, min(start + self._size, size))

    def close(self) -> None:
        self._kept.close()


class Copies:
    """Planes to the GPU and back through page-locked memory, in order with CuPy's current stream. Close it.

    Up and down have buffers of their own, so that the next planes go up while results come down.
    """

    def __init__(self) -> None:
        with ExitStack() as kept:
            self._up = kept.enter_context(closing(Staging()))
            self._down = kept.enter_context(closing(Staging()))
            self._kept = kept.pop_all()

    def upload(self, planes: Planes) -> Planes:
        """NumPy planes as a CuPy array; returns before they are there."""
        source = np.ascontiguousarray(planes)
        array = _cupy.empty(source.shape, source.dtype)
        self._up.upload(source, _cupy.pointer(array), _cupy.current_stream())
        return array

    def download(self, planes: Planes) -> Planes:
        """A CuPy array as NumPy planes, when everything that it waits for is done."""
        source = _cupy.contiguous(planes)
        target = np.empty(source.shape, source.dtype)
        self._down.download(_cupy.pointer(source), target, _cupy.current_stream())
        return target

    def close(self) -> None:
        """Free the buffers, when the last copies are done."""
        self._kept.close()


def _buffer(size: int, kept: ExitStack) -> _Buffer:
    address = _cuda.allocate_host(size)
    kept.callback(_cuda.free_host, address)
    copied = _cuda.create_event()
    kept.callback(_cuda.destroy_event, copied)
    kept.callback(_cuda.wait, copied)
    memory = (ctypes.c_uint8 * size).from_address(address)
    return _Buffer(address, np.ctypeslib.as_array(memory), copied)


def _empty(full: tuple[_Buffer, slice] | None, values: NDArray[np.uint8]) -> None:
    """Take out of a buffer what was copied into it, when that is done."""
    if full is not None:
        buffer, part = full
        _cuda.wait(buffer.copied)
        values[part] = buffer.bytes[: part.stop - part.start]
