"""Files that outlast a kill and a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that it is there either whole or as it was before, and on disk when this returns.

    Raises:
        OSError: a full disk and the like; nothing is left of it.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def sync_file(file: Path, root: Path) -> None:
    """Return when a file is on disk, with its name in every folder up to ``root``.

    Args:
        file: below ``root``.
    """
    with file.open("rb+") as opened:  # Windows syncs only what could be written
        os.fsync(opened.fileno())
    for folder in file.parents:
        _sync_folder(folder)
        if folder == root:
            break


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders, and needs none synced
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
