"""Where files are to be: what the system says of a place before anything is written there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.urls import Source, Url

LONGEST_ENDING = ".replaced-12345678"
"""Of the names beside an output while it is written; see stores.py."""


def real_path(path: Source) -> Source:
    """A path with its links followed as far as they lead; ``Path.resolve`` fails where they form a loop."""
    return path if isinstance(path, Url) else Path(os.path.realpath(path))


def check_writable(path: Path, option: str = "") -> None:
    """Refuse a place where no file can be made. Nothing is left of the attempt.

    Args:
        path: the file or folder that is to be written.
        option: that it was given with, for the message; without one it is OUTPUT.

    Raises:
        VolumeError: links that form a loop, a name that is too long, a folder that does not exist or that
            nothing can be written to.
    """
    where, another = (f"{option} {path}", "file") if option else (f"{path}", "OUTPUT")
    try:
        for place in (path, f"{path}{LONGEST_ENDING}"):
            with suppress(FileNotFoundError, NotADirectoryError):
                os.stat(place)
        folder = os.path.dirname(os.path.realpath(path))
        if os.path.isdir(folder):
            # Permissions tell too little: disks may be read-only, and servers have rules of their own.
            with TemporaryFile(dir=folder):
                return
    except (OSError, ValueError) as error:  # the latter for a null byte
        reason = getattr(error, "strerror", None) or error
        raise VolumeError(
            f"{where}: nothing can be written there ({reason}); name another {another}"
        ) from error
    raise VolumeError(f"{where}: its folder does not exist; create it, or name another {another}")
