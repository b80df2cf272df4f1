"""What is where a run writes: outputs that are finished, and what a killed run left of them.

Until an output is complete it holds the id of its run, and from then on the fingerprint of what made it.
Nothing else tells that something is an output of a run: another store may have been put in its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.formats import is_tiff
from baikal_deploy.volumes.paths import (
    PROVENANCE,
    check_file,
    check_output,
    claim_output,
    discard,
    foreign_file,
    is_half_made,
    partial_path,
    remove_tree,
    translated,
)

LARGEST = 2**26
"""Bytes of the metadata of an output."""


@dataclass(frozen=True)
class Mark:
    """What an output of this package says of itself.

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
    def at(cls, path: Path) -> Mark | None:
        """The mark of an image; None where nothing is, or something else."""
        if path.is_file():
            from baikal_deploy.volumes.tiff.writer import provenance_of

            found = provenance_of(path)
        else:
            found = _provenance_of_store(path)
        if found is None:
            return None
        return cls(found.get("complete") is True, found.get("run"), found.get("fingerprint"), found)


def _provenance_of_store(path: Path) -> dict[str, Any] | None:
    metadata = path / "zarr.json"
    try:
        if not metadata.is_file() or metadata.stat().st_size > LARGEST:
            return None
        found = json.loads(metadata.read_bytes())["attributes"][PROVENANCE]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def belongs(path: Path, run: str, fingerprint: str) -> bool:
    """Whether an output is of this run: being written by it, or finished with the same result."""
    mark = Mark.at(path)
    return mark is not None and (mark.fingerprint == fingerprint if mark.complete else mark.run == run)


def check_begin(path: Path, overwrite: bool, leftovers: Collection[Path]) -> None:
    """Whether an output can be begun where it is to be, once the leftovers are removed.

    Raises:
        VolumeError: something is there that must not be overwritten, or is no output.
    """
    target, partial = path.resolve(), partial_path(path.resolve())
    if is_tiff(path):
        check_file(path, overwrite)
        if partial not in leftovers and os.path.lexists(partial):
            raise VolumeError(
                f"{partial}: is in the way, left unfinished by another run or no output of this program; "
                f"move it away"
            )
    elif target not in leftovers and not (overwrite and partial in leftovers):
        check_output(path, overwrite)


def begin_output(path: Path, overwrite: bool) -> Path:
    """Where an output grows, after which what an earlier failed run left there is removed.

    Raises:
        VolumeError: as ``check_begin``.
    """
    if is_tiff(path):
        return partial_path(path.resolve())
    return claim_output(path.resolve(), overwrite)


def is_leftover(path: Path, run: str, fingerprint: str) -> bool:
    """Whether something where an output grows is of this run, or was just begun."""
    return os.path.lexists(path) and (belongs(path, run, fingerprint) or is_half_made(path))


def remove_leftover(path: Path) -> None:
    """Removes what ``is_leftover``, a TIFF file or a Zarr store.

    Raises:
        VolumeError: as ``discard``.
    """
    if path.is_dir():
        discard(path)
        return
    with translated(path, "removed"):
        path.unlink()


def sweep(root: Path, keep: Collection[Path]) -> None:
    """Removes every file of a store but metadata and those to keep: shards that nobody vouches for, and
    files that were being written.

    Raises:
        VolumeError: the system refuses.
    """
    with translated(root, "swept"):
        for folder, _, names in os.walk(root):
            for name in names:
                if name != "zarr.json" and Path(folder, name) not in keep:
                    Path(folder, name).unlink()


def sweep_replaced(path: Path) -> None:
    """Removes the stores that ``replace_store`` had put aside from ``path`` when it was killed.

    Raises:
        VolumeError: the system refuses.
    """
    with translated(path, "swept"):
        for aside in path.parent.iterdir():
            ours = (
                aside.name.startswith(f"{path.name}.replaced-") and aside.is_dir() and not aside.is_symlink()
            )
            if ours and os.listdir(aside) in ([], [path.name]) and foreign_file(aside) is None:
                remove_tree(aside)
