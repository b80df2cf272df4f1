"""The finished parts of items that are not finished: planes, and steps of one that takes long.

An item may take an hour, and a kill must not cost it. Everything here may be lost without harm: it is only
computed again. So nothing is synced, and a file that cannot be read counts as none.
"""

from __future__ import annotations

import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.stack import Denoised
from baikal_deploy.host.moves import move, remove_file
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.volumes.paths import writing

KEEP_SECONDS = 30.0
"""Seconds of computing after which what is finished is kept."""
_FILE = re.compile(r"(\d+)[-.][\w.-]*\.npz(\.[0-9a-f]{32}\.new)?")

_PIECE = re.compile(r"(\d+)-(\d+)-(\d+)\.npz")
_STEP = re.compile(r"(\d+)\..+\.(\d+)\.npz")

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Kept:
    """Folder of the finished parts of a run's items.

    Attributes:
        folder: where; it is there when something is.
    """

    folder: Path

    @classmethod
    def of_run(cls, journal: Path, run: str) -> Self:
        """Folder of a run, beside its journal.

        Args:
            journal: path of the journal.
            run: id of the run.
        """
        return cls(journal.with_name(f"{journal.name.removesuffix('.journal')}.{run}.kept"))

    def of(self, index: int) -> KeptItem:
        """Parts of one item.

        Args:
            index: of the item.
        """
        return KeptItem(self.folder, index)

    @property
    def indices(self) -> set[int]:
        """The items of which something is kept."""
        return {index for index, _, _, _ in _pieces(self.folder)}

    @property
    def indices_of_steps(self) -> set[int]:
        """The items of which steps are kept, of the planes after those that are."""
        steps = (_STEP.fullmatch(path.name) for path in self.folder.glob("*.npz"))
        found = {(int(name[1]), int(name[2])) for name in steps if name is not None}
        return {index for index, finished in found if finished == self.of(index).planes}

    def forget(self, index: int) -> None:
        """Remove the parts of an item, which is finished.

        Args:
            index: of the item.

        Raises:
            VolumeError: the system refuses.
        """
        self._remove(lambda number: number == index)

    def clear(self) -> None:
        """Remove everything. Raises VolumeError if the system refuses."""
        self._remove(lambda number: True)

    def _remove(self, chosen: Callable[[int], bool]) -> None:
        if not self.folder.is_dir():
            return
        with writing(self.folder, "what is kept of an unfinished run"):
            for path in self.folder.iterdir():
                name = _FILE.fullmatch(path.name)
                if name is not None and chosen(int(name[1])):
                    remove_file(path)
            with suppress(OSError):  # not empty, or another process is writing
                self.folder.rmdir()


class KeptItem:
    """Parts of an item that are kept: its first planes, and steps of the planes after them.

    Attributes:
        planes: how many planes are kept.
    """

    def __init__(self, folder: Path, index: int) -> None:
        self._folder, self._index = folder, index
        self.planes = max((stop for _, stop, _ in self._own_pieces()), default=0)
        self._finished = self.planes
        self._latest: tuple[int, Denoised] | None = None
        self._since = time.monotonic()

    def recall(self, empty: Denoised) -> Iterator[tuple[slice, Denoised]]:
        """The planes that are kept, piece by piece, and where in the item they belong.

        Args:
            empty: arrays of the item's shape and pixel types.
        """
        self.planes = self._finished = 0
        before = Tally()
        for first, stop, path in sorted(self._own_pieces()):
            found, wanted = _load(path), _planes(empty, first, stop)
            if first != self.planes or found is None or not _fits(found, wanted):
                break
            self.planes = self._finished = stop
            counts = Tally.from_record(json.loads(str(found["tally"])))  # of all planes up to here
            maps = found.get("std"), found.get("suspect")
            yield slice(first, stop), Denoised(found["planes"], *maps, counts - before)
            before = counts

    def finished(self, stop: int, denoised: Denoised) -> None:
        """Keep the planes up to one, if enough was computed since something was kept.

        Args:
            stop: number of these planes in the item.
            denoised: the item, of which all planes up to this one are there and counted.

        Raises:
            VolumeError: a full disk and the like.
        """
        self._finished = stop
        self._latest = stop, denoised
        if self.is_due:
            self.keep()

    def keep(self) -> None:
        """Keep now what is finished. Raises VolumeError: a full disk and the like."""
        if self._latest is None or self._latest[0] <= self.planes:
            return
        stop, denoised = self._latest
        counts = {"tally": np.array(json.dumps(asdict(denoised.counts)))}
        self._save(f"{self._index}-{self.planes}-{stop}", _planes(denoised, self.planes, stop) | counts)
        self.planes = stop
        self.drop("")

    @property
    def is_due(self) -> bool:
        """True if enough was computed since something was kept."""
        return time.monotonic() - self._since > KEEP_SECONDS

    def recall_step(self, name: str) -> Arrays | None:
        """A step of the planes after those that are finished, as it was kept; None if it was not.

        Args:
            name: of the step.
        """
        return _load(self._step(name))

    def keep_step(self, name: str, arrays: Arrays) -> None:
        """Keep a step of the planes after those that are finished.

        Args:
            name: of the step.
            arrays: by name.

        Raises:
            VolumeError: a full disk and the like.
        """
        self.keep()
        self._save(self._step(name).stem, arrays)

    def drop(self, prefix: str) -> None:
        """Forget the steps whose names begin with a prefix.

        Args:
            prefix: "" for all.
        """
        for path in self._folder.glob(f"{self._index}.{prefix}*.npz"):
            remove_file(path)

    def _step(self, name: str) -> Path:
        return self._folder / f"{self._index}.{name}.{self._finished}.npz"

    def _own_pieces(self) -> Iterator[tuple[int, int, Path]]:
        return (
            (first, stop, path) for index, first, stop, path in _pieces(self._folder) if index == self._index
        )

    def _save(self, stem: str, arrays: Arrays) -> None:
        path = self._folder / f"{stem}.npz"
        new = path.with_name(f"{path.name}.{uuid4().hex}.new")  # two workers may have one item in work
        with writing(path, "what is finished of an unfinished item"):
            self._folder.mkdir(exist_ok=True)
            with new.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            move(new, path)
        self._since = time.monotonic()


def _pieces(folder: Path) -> Iterator[tuple[int, int, int, Path]]:
    """(item, first plane, last plane + 1, file) of all planes that are kept."""
    for path in folder.glob("*.npz"):
        if name := _PIECE.fullmatch(path.name):
            index, first, stop = map(int, name.groups())
            yield index, first, stop, path


def _planes(denoised: Denoised, first: int, stop: int) -> dict[str, NDArray[Any]]:
    return {name: pixels[first:stop] for name, pixels in denoised.arrays.items()}


def _load(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file; None if it is not there, or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _fits(found: Arrays, wanted: Arrays) -> bool:
    kinds = ({name: (pixels.shape, pixels.dtype) for name, pixels in one.items()} for one in (found, wanted))
    kept, expected = kinds
    return kept.pop("tally", None) is not None and kept == expected
