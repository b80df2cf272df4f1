"""The state of the places where a run writes: outputs that are finished, and what a killed run left of them.

Until an output is complete it holds the id of its run, and from then on the fingerprint of what made it.
Nothing else tells that something is an output of a run: another store may have been put in its place.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.moves import move, remove_file
from baikal_deploy.volumes.create import provenance_at
from baikal_deploy.volumes.paths import METADATA_FILES, discard, foreign_file, is_half_made, translated
from baikal_deploy.volumes.urls import Source


@dataclass(frozen=True)
class Mark:
    """Mark of an output of this package: all that it says of its state.

    Attributes:
        complete: whether it was finished.
        run: id of the run that is writing it; None if it is complete, or was written without a journal.
        fingerprint: digest of all that decided its contents, if it is complete; old versions wrote none.
        provenance: all that it says.
    """

    complete: bool
    run: str | None
    fingerprint: str | None
    provenance: dict[str, Any]

    @classmethod
    def at(cls, path: Source) -> Mark | None:
        """The mark of an image; None where nothing is, or something else.

        Args:
            path: of anything.
        """
        found = provenance_at(path)
        if found is None:
            return None
        return cls(found.get("complete") is True, found.get("run"), found.get("fingerprint"), found)


def belongs(path: Path, run: str, fingerprint: str) -> bool:
    """True if an output is of this run: being written by it, or finished with the same result.

    Args:
        path: the output.
        run: id of the run.
        fingerprint: digest of all that decides the contents.
    """
    mark = Mark.at(path)
    return mark is not None and (mark.fingerprint == fingerprint if mark.complete else mark.run == run)


def is_leftover(path: Path, run: str, fingerprint: str) -> bool:
    """True if something where an output grows is of this run, or was just begun.

    Args:
        path: where it grows.
        run: id of the run.
        fingerprint: digest of all that decides the contents.
    """
    return os.path.lexists(path) and (belongs(path, run, fingerprint) or is_half_made(path))


def remove_finished(path: Path, fingerprint: str) -> None:
    """Remove a store that is complete, if it is what a run of a fingerprint has made.

    It is moved away first: a kill leaves nothing that looks complete and is not.

    Args:
        path: of the store.
        fingerprint: digest of all that decides the contents.

    Raises:
        VolumeError: see ``discard``.
    """
    aside = path.with_name(f"{path.name}.removed")
    if Mark.at(aside) is not None or is_half_made(aside):
        discard(aside)
    mark = Mark.at(path)
    if mark is not None and mark.complete and mark.fingerprint == fingerprint:
        with translated(path, "removed"):
            move(path, aside)
        discard(aside)


def remove_leftover(path: Path) -> None:
    """Remove what ``is_leftover``, a TIFF file or a Zarr store.

    Args:
        path: of the leftover.

    Raises:
        VolumeError: see ``discard``.
    """
    if path.is_dir():
        discard(path)
        return
    with translated(path, "removed"):
        remove_file(path)


def sweep(root: Path, keep: Collection[Path]) -> None:
    """Remove every file of a store but metadata and those to keep.

    These are shards that nobody vouches for, and files that were being written.

    Args:
        root: the store; a file, as of a TIFF, holds nothing to remove.
        keep: files, some of which may be missing.

    Raises:
        VolumeError: it holds files of something else, or the system refuses.
    """
    with translated(root, "swept"):
        foreign = foreign_file(root) if root.is_dir() else None
        if foreign is not None:
            raise VolumeError(
                f"{root}: the unfinished output cannot be continued, as {foreign} is not part of a Zarr "
                f"store; move that file away"
            )
        for folder, _, names in os.walk(root):
            for name in names:
                if name not in METADATA_FILES and Path(folder, name) not in keep:
                    remove_file(Path(folder, name))
