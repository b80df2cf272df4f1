"""The journal of a run: all that it has finished, kept on disk so that it can continue after a kill.

The first line says what the run is. It is there before any output; every other line is added when what it
speaks of is on disk. A last line that a kill has cut off does not count.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Self
from uuid import uuid4

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import write_file
from baikal_deploy.host.moves import remove_file

FORMAT = 5


@dataclass
class Journal:
    """The journal of one run.

    Attributes:
        path: of its file.
        header: what the run is.
        created: whether all outputs have their metadata.
        measurements: what was measured, by time point (None: all) and channel.
        done: finished items by index, each with its tally.
        ended: steps of the first axis at which a growing input was taken to have ended; None: not yet.
        size: bytes that count.
    """

    path: Path
    header: Mapping[str, Any]
    created: bool = False
    measurements: dict[tuple[int | None, int], dict[str, Any]] = field(default_factory=dict)
    done: dict[int, dict[str, Any]] = field(default_factory=dict)
    ended: int | None = None
    size: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @classmethod
    def begin(cls, path: Path, header: Mapping[str, Any]) -> Self:
        """Write a new journal, in place of an older one.

        Args:
            path: of its file.
            header: all that says what the run is.

        Raises:
            VolumeError: a full disk and the like.
        """
        line = _line({"journal": FORMAT, "run": uuid4().hex, **header})
        with _translated(path):
            write_file(path, line)
        return cls(path, json.loads(line), size=len(line))

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The journal at ``path``; None if there is none.

        Args:
            path: of its file.

        Raises:
            VolumeError: a file that is none, or cannot be read.
        """
        with _translated(path):
            try:
                first, *lines = path.read_bytes().splitlines(keepends=True) or [b""]
            except FileNotFoundError:
                return None
        header = _entry(first)
        if header is None or "journal" not in header:
            raise VolumeError(
                f"{path}: is not a journal of this program, and in the way of one; move it away"
            )
        if header["journal"] != FORMAT:
            raise VolumeError(
                f"{path}: is the journal of a run of another version of this program; finish the run with "
                f"that version, or remove this file and the unfinished output beside it to start anew"
            )
        if not _is_header(header):
            raise VolumeError(f"{path}: the journal of a run is damaged; remove it and the unfinished output")
        journal = cls(path, header, size=len(first))
        for line in lines:
            if not journal._take(line):
                break
        return journal

    @property
    def run(self) -> str:
        """Id of the run, which its outputs hold too until they are complete."""
        return str(self.header["run"])

    def record(self, entry: Mapping[str, Any]) -> None:
        """Add a line; it is on disk when this returns. Several threads may.

        Args:
            entry: as JSON holds it.

        Raises:
            VolumeError: a full disk and the like.
        """
        line = _line(entry)
        with self._lock:
            with _translated(self.path), self.path.open("rb+") as file:
                file.truncate(self.size)
                file.seek(self.size)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            self._take(line)

    def remove(self) -> None:
        """Remove the file. Raises VolumeError if the system refuses."""
        with _translated(self.path):
            remove_file(self.path)

    def _take(self, line: bytes) -> bool:
        """Count a line in, if it is whole."""
        entry = _entry(line)
        if entry is None:
            return False
        try:
            if "item" in entry:
                self.done[int(entry["item"])] = dict(entry["tally"])
            if "group" in entry:
                t, channel = entry["group"]
                self.measurements[t, channel] = entry["measurement"]
        except (LookupError, TypeError, ValueError):
            return False
        self.created |= "created" in entry
        self.ended = entry.get("ended", self.ended)
        self.size += len(line)
        return True


def is_journal_of(path: Path, header: Mapping[str, Any]) -> bool:
    """True if the file is there and is the journal of the run of this header.

    Args:
        path: of its file.
        header: as ``Journal.begin`` returned it.

    Raises:
        VolumeError: it cannot be read.
    """
    with _translated(path):
        try:
            with path.open("rb") as file:
                return file.readline() == _line(header)
        except FileNotFoundError:
            return False


def _is_header(header: Mapping[str, Any]) -> bool:
    """True if a first line has all that a run needs; a file may hold anything."""
    kinds = {"run": str, "fingerprint": dict, "layout": dict, "places": list}
    if not all(isinstance(header.get(name), kind) for name, kind in kinds.items()):
        return False
    pairs = header["places"]
    texts = (isinstance(pair, list) and [type(path) for path in pair] == [str, str] for pair in pairs)
    return all(texts) and re.fullmatch("[0-9a-f]{32}", header["run"]) is not None


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if line.endswith(b"\n") and isinstance(entry, dict) else None


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VolumeError(
            f"{path}: the journal of the run cannot be read or written: {error.strerror or error}; free "
            f"space or correct permissions, and run again"
        ) from error
