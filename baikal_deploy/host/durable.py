"""Files that outlast a kill and a power cut."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from baikal_deploy.host.moves import move, remove_file

NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP)
"""Codes by which network shares say that they sync no folders; their files are synced all the same."""


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that it is there either whole or as it was before, and on disk when this returns.

    Args:
        path: the file.
        data: all that it shall hold.

    Raises:
        OSError: a full disk and the like; nothing is left of it.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move(partial, path)
    except OSError:
        remove_file(partial)
        raise
    _sync_folder(path.parent)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write a file at; it is moved to its own when it is whole, and removed if writing fails.

    Args:
        path: the file's own path.
    """
    for left in path.parent.glob(f"{glob.escape(path.name)}.{'[0-9a-f]' * 32}.partial"):  # by a kill
        remove_file(left)
    new = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        yield new
        move(new, path)
    except BaseException:
        remove_file(new)
        raise


def sync_file(file: Path, root: Path) -> None:
    """Return when a file is on disk, with its name in every folder up to ``root``.

    Args:
        file: below ``root``.
        root: the last folder that is synced.
    """
    sync_files([file], root)


def sync_files(files: Sequence[Path], root: Path) -> None:
    """Return when files are on disk, with their names in every folder up to ``root``.

    Args:
        files: below ``root``.
        root: the last folder that is synced.
    """
    for file in files:
        with file.open("rb+") as opened:  # Windows syncs only what could be written
            os.fsync(opened.fileno())
    folders = {
        folder for file in files for folder in file.parents if folder == root or root in folder.parents
    }
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders, and needs none synced
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(descriptor)
