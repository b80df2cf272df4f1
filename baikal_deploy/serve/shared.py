"""Memory that clients on this machine share with the server, in segments; the protocol calls them regions.

A segment is read and written as a file and never mapped here: whoever shortens a mapped file ends all
processes that touch what is gone, and a server must outlive its clients.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.serve.protocol import SegmentRequest
from baikal_deploy.serve.refusal import bad

MOST = 64
"""Most segments at a time."""
FLAGS = os.O_RDWR | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")
)


@dataclass(frozen=True)
class _Segment:
    asked: SegmentRequest
    file: FileIO


class Segments:
    """Registered segments of shared memory; every method may be called by any thread.

    Arguments:
        folder: that the files of the segments are in; None: there are none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._segments: dict[str, _Segment] = {}
        self._lock = Lock()

    def register(self, name: str, asked: SegmentRequest) -> None:
        """Register a segment under a name.

        Raises:
            Refused: the name is taken, too many segments are registered, or there is no such file.
        """
        with self._lock:
            if name in self._segments:
                raise bad(f"shared memory region {name}: is registered already; unregister it first")
            if len(self._segments) >= MOST:
                self._forget_removed()
            if len(self._segments) >= MOST:
                raise bad(f"shared memory region {name}: {MOST} are registered; unregister others first")
            file = self._open(asked.key)
            if os.fstat(file.fileno()).st_size < asked.offset + asked.byte_size:
                file.close()
                raise bad(f"shared memory {asked.key}: is smaller than offset + byte_size")
            self._segments[name] = _Segment(asked, file)

    def _forget_removed(self) -> None:
        """Forget segments of clients that ended without a word: their files are gone."""
        for name, segment in list(self._segments.items()):
            if os.fstat(segment.file.fileno()).st_nlink == 0:
                self._forget(name)

    def _forget(self, name: str) -> None:
        if (segment := self._segments.pop(name, None)) is not None:
            segment.file.close()

    def _open(self, key: str) -> FileIO:
        if self._folder is None:
            raise bad("shared memory: this server has none; start it with --shared-memory FOLDER")
        name = key.removeprefix("/")
        if "\0" in name or name == ".." or Path(name).name != name:
            raise bad(f"shared memory {key}: must be the name of a file in {self._folder}")
        try:
            file = FileIO(os.open(self._folder / name, FLAGS), "r+")
        except OSError as error:
            raise bad(f"shared memory {key}: cannot be opened ({error.strerror})") from None
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # it may be a file elsewhere, too
            file.close()
            raise bad(f"shared memory {key}: is not a regular file, or has other links")
        return file

    def unregister(self, name: str | None) -> None:
        """Forget a segment, or all; one that is not there is forgotten already."""
        with self._lock:
            for one in [name] if name is not None else list(self._segments):
                self._forget(one)

    def status(self, name: str | None) -> list[dict[str, str | int]]:
        """Name, key, offset and size of a segment, or of all.

        Raises:
            Refused: it is not registered.
        """
        with self._lock:
            names = [name] if name is not None else list(self._segments)
            return [{"name": one, **self._of(one).asked.model_dump()} for one in names]

    def read(self, name: str, offset: int, size: int) -> NDArray[np.uint8]:
        """Bytes of a segment, ``size`` of them from ``offset`` on.

        Raises:
            Refused: it has no such bytes.
        """
        with self._lock:
            file = self._at(name, offset, size)
            found = np.empty(size, np.uint8)
            left = found.data
            while left:
                if not (count := file.readinto(left)):
                    raise bad(f"shared memory region {name}: has become shorter than it was registered")
                left = left[count:]
        return found

    def write(self, name: str, offset: int, parts: Sequence[memoryview]) -> None:
        """Write bytes to a segment from ``offset`` on, one part after the other.

        Raises:
            Refused: it has no such bytes.
        """
        size = sum(len(part) for part in parts)
        with self._lock:
            file = self._at(name, offset, size)
            if os.fstat(file.fileno()).st_size < file.tell() + size:
                raise bad(f"shared memory region {name}: has become shorter than it was registered")
            try:
                for part in parts:
                    while part:  # a full disk takes some of it, and refuses the rest
                        part = part[file.write(part) :]
            except OSError as error:
                raise bad(f"shared memory region {name}: cannot be written ({error.strerror})") from None

    def _at(self, name: str, offset: int, size: int) -> FileIO:
        segment = self._of(name)
        if offset + size > segment.asked.byte_size:
            raise bad(
                f"shared memory region {name}: has {segment.asked.byte_size} bytes, and "
                f"{size} from {offset} on are asked for"
            )
        segment.file.seek(segment.asked.offset + offset)
        return segment.file

    def _of(self, name: str) -> _Segment:
        if name not in self._segments:
            raise bad(f"shared memory region {name}: is not registered")
        return self._segments[name]
