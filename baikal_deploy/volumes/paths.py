"""Care for the folders that are Zarr stores: what may be overwritten, and how nothing gets lost.

A folder is only ever removed when it is an output that is to be overwritten, or the record of a run says that
it is its own; and then only when every file in it belongs to a Zarr store.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.moves import remove_folder
from baikal_deploy.volumes.urls import Source, stamp

PROVENANCE = "baikal"
"""Group attribute with the provenance; it also marks a store as written by this package."""

LARGEST = 2**26
"""Largest size of the metadata of an output that is read, in bytes."""

_NODE_FILES = ("zarr.json", ".zarray", ".zgroup")
METADATA_FILES = (*_NODE_FILES, ".zattrs")
"""Names of the files that hold metadata, of Zarr 2 and 3."""
_PARTIAL = re.compile(r".*\.[0-9a-f]{32}\.partial")
"""Names that zarr-python leaves when it is killed in the middle of a write."""
LITTER = re.compile(
    r"\.DS_Store|\._.*|(?i:desktop\.ini|thumbs\.db)"  # of file managers
    r"|\.(nfs|fuse_hidden)[0-9a-f]+"  # what was removed while a viewer had it open, on network disks
)
"""Names of files that systems put into any folder by themselves."""
_STORE_FILE = re.compile(
    r"zarr\.json|\.z(array|group|attrs|metadata)"  # metadata
    r"|c|(c\.)?\d+(\.\d+)*"  # chunks and shards
    rf"|{_PARTIAL.pattern}"
    rf"|METADATA\.ome\.xml|{LITTER.pattern}"  # of bioformats2raw; of nobody
)


def unfinished_by(run: str | None) -> dict[str, Any]:
    """Provenance of an output until it is complete.

    Args:
        run: id of the run that writes it; None: none.
    """
    return {"complete": False} if run is None else {"complete": False, "run": run}


def is_zarr(path: Source) -> bool:
    """True if a folder or URL is the root of a Zarr array or group (version 2 or 3).

    Args:
        path: of anything.
    """
    return any((path / name).is_file() for name in _NODE_FILES)


def partial_path(path: Path) -> Path:
    """Path at which the replacement of an existing output grows.

    Args:
        path: the output.
    """
    return path.with_name(path.name + ".partial")


def check_output(path: Path, overwrite: bool, leftovers: Collection[Path] = ()) -> Path:
    """Path at which to write an output: ``path`` itself, or beside it if it exists and is to be replaced.

    Args:
        path: the output.
        overwrite: a store that is there may be replaced.
        leftovers: paths of what will be removed before.

    Raises:
        VolumeError: ``path`` exists and must not be overwritten, or is not a Zarr store; or something is in
            the way beside it.
    """
    if not os.path.lexists(path):
        return path
    if not overwrite:
        raise VolumeError(
            f"{path}: exists already; choose another output, or allow overwriting (--overwrite)"
        )
    require_store(path)
    partial = partial_path(path.resolve())
    if partial not in leftovers:
        require_free(partial)
    return partial


def require_free(path: Path) -> None:
    """Refuse to begin where something lies already that no record of this run tells of.

    Args:
        path: where an output will grow.

    Raises:
        VolumeError: something is there.
    """
    if os.path.lexists(path):
        raise VolumeError(
            f"{path}: is in the way: either another run left it unfinished, or it is not an output of this "
            f"program. It will not be removed; move it away, or remove it if nobody needs it"
        )


def require_store(path: Path) -> None:
    """Refuse what must not be deleted.

    Args:
        path: something that exists.

    Raises:
        VolumeError: not a folder, not a Zarr store, or one with files that belong to something else.
    """
    with translated(path, "looked through"):
        known = path.is_dir() and is_zarr(path)
        foreign = foreign_file(path) if known else None
    if not known:
        raise VolumeError(f"{path}: is not a Zarr store and will not be overwritten; choose another output")
    if foreign is not None:
        raise VolumeError(
            f"{path}: will not be overwritten, as {foreign} is not part of a Zarr store; "
            f"move that file away, or choose another output"
        )


def discard(path: Path) -> None:
    """Remove a store that is this run's own: an output that was never finished may not even have metadata.

    Args:
        path: the output.

    Raises:
        VolumeError: it holds files of something else, or the system refuses.
    """
    with translated(path, "looked through"):
        foreign = foreign_file(path) if path.is_dir() and not path.is_symlink() else path
    if foreign is not None:
        raise VolumeError(
            f"{path}: cannot be removed, as {foreign} is not part of a Zarr store; move that file away"
        )
    with translated(path, "removed"):
        remove_tree(path)


def remove_tree(path: Path) -> None:
    """Remove a folder, the metadata at its root last: interrupted, it is still known for what it was.

    Args:
        path: the folder.

    Raises:
        OSError: the system refuses.
    """
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            remove_folder(child)
    remove_folder(path)


def foreign_file(path: Path) -> Path | None:
    """A file below ``path`` that is neither metadata nor a chunk; None if there is none.

    Args:
        path: a folder.

    Raises:
        OSError: a folder cannot be read, and may hold anything.
    """

    def stop(error: OSError) -> None:
        raise error  # an unreadable folder may hold anything

    for folder, _, files in os.walk(path, onerror=stop):
        for name in files:
            if not _STORE_FILE.fullmatch(name):
                return Path(folder, name)
    return None


def is_half_made(path: Path) -> bool:
    """True if a folder is a store whose making, or removal, was killed: nothing of it is there.

    A file counts if it is empty; what a system puts anywhere by itself counts as nothing.

    Args:
        path: of anything.
    """
    if path.is_symlink() or not path.is_dir():
        return path.is_file() and path.stat().st_size == 0
    of_nobody = re.compile(f"{_PARTIAL.pattern}|{LITTER.pattern}")
    return all(entry.is_file() and of_nobody.fullmatch(entry.name) for entry in path.iterdir())


def attributes_file(path: Source) -> Source:
    """File that holds the attributes of a store, of Zarr 3 or else 2.

    Args:
        path: the store.
    """
    return path / ("zarr.json" if (path / "zarr.json").is_file() else ".zattrs")


def provenance_of(path: Source) -> dict[str, Any] | None:
    """Provenance in a store of this package; None where nothing is, or something else.

    Args:
        path: of anything.
    """
    metadata = attributes_file(path)
    try:
        found = stamp(metadata) if metadata.is_file() else None
        if found is None or found[0] > LARGEST:
            return None
        attributes = json.loads(metadata.read_bytes())
        made = (attributes if metadata.name == ".zattrs" else attributes["attributes"])[PROVENANCE]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return made if isinstance(made, dict) else None


def check_file(path: Path, overwrite: bool) -> None:
    """Refuse to write a file where something lies that must not be overwritten.

    Args:
        path: the output.
        overwrite: a file that is there may be replaced.

    Raises:
        VolumeError: ``path`` exists and must not be overwritten, or is not a file.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise VolumeError(
            f"{path}: exists already; choose another output, or allow overwriting (--overwrite)"
        )
    if not path.is_file():
        raise VolumeError(f"{path}: is not a file and will not be overwritten; choose another output")


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Turn what the system says while an output is written into a VolumeError.

    Args:
        path: the output, for the message.
        what: is written, for the message.

    Raises:
        VolumeError: an OSError within the context.
    """
    try:
        yield
    except OSError as error:
        raise VolumeError(
            f"{path}: {what} could not be written: {error.strerror or error}; free space or correct "
            f"permissions, and run again"
        ) from error


@contextmanager
def translated(path: Source, action: str) -> Iterator[None]:
    """Turn what the system says while it does something to a path into a VolumeError.

    Args:
        path: for the message.
        action: such as "removed", for the message.

    Raises:
        VolumeError: an OSError within the context.
    """
    try:
        yield
    except OSError as error:
        raise VolumeError(
            f"{path}: cannot be {action}: {error.strerror or error}; check the path and its permissions"
        ) from error


@contextmanager
def continuing(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while an unfinished output is opened again into a VolumeError.

    Args:
        path: the output, for the message.

    Raises:
        VolumeError: any exception within the context: damaged metadata ends in anything.
    """
    try:
        yield
    except Exception as error:
        raise VolumeError(
            f"{path}: the unfinished output cannot be continued ({type(error).__name__}: {error}); "
            f"remove it, and run again"
        ) from error
