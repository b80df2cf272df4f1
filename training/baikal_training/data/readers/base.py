"""Parts that the readers have in common: planes, and pixels that are read when they are needed."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Index = tuple[int | slice, ...]
OPEN_FILES = 64
"""Files that a process holds open at a time; systems allow a process about a thousand."""


class Planes(Protocol):
    """Pixels of one channel of one image. Every z plane and time point is one plane.

    Attributes:
        name: for messages.
        shape: (planes, height, width).
        dtype: integer or real, in native byte order.
    """

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """A window (h, w) of one plane. Raises VolumeError if it cannot be decoded."""

    def read_all(self) -> NDArray[Any]:
        """All planes (N, H, W). Raises VolumeError if they cannot be decoded."""


class Pixels(Protocol):
    """An array whose pixels are read when it is indexed."""

    def __getitem__(self, index: Index, /) -> NDArray[Any]: ...


class Source(Hashable, Protocol):
    """A way to open an array: small, hashable, and fit to be sent to another process."""

    def open(self) -> Pixels: ...


@dataclass(frozen=True)
class OnDisk:
    """Pixels that each process opens for itself when it first reads them.

    Open files and threads must not be carried over a fork, nor can they be sent to a new process.
    """

    source: Source

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        return _opened(os.getpid(), self.source)[index]


@lru_cache(maxsize=OPEN_FILES)
def _opened(process: int, source: Source) -> Pixels:
    return source.open()


def close_files() -> None:
    """Forget what is open: files may have been replaced since."""
    _opened.cache_clear()


def reason(error: Exception) -> str:
    """An exception of a library in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
