"""The places of files: what the system says of one before anything is written there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.paths import partial_path, translated
from baikal_deploy.volumes.urls import Source, Url

LONGEST_ENDING = ".replaced-12345678"
"""Longest ending of the names beside an output while it is written; see replacing.py."""


def real_path(path: Source) -> Source:
    """A path with its links followed as far as they lead; ``Path.resolve`` fails where they form a loop.

    Args:
        path: of anything.
    """
    return path if isinstance(path, Url) else Path(os.path.realpath(path))


def check_reachable(path: Path) -> None:
    """Refuse a path that the system cannot follow, whatever lies there.

    Args:
        path: of anything.

    Raises:
        VolumeError: links that form a loop, a name that is too long, a folder that may not be looked into.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # the latter for a null byte
        raise VolumeError(f"{path}: cannot be found ({_reason(error)}); check the path") from error


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


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def check_paths(source: Path, output: Path) -> None:
    """Refuse an output whose writing would damage the input.

    Args:
        source: the input.
        output: the output.

    Raises:
        VolumeError: output and input are the same, or one lies inside the other (links followed).
    """
    with translated(output, f"compared with the input {source}"):
        _check_resolved(source.resolve(), output, output.resolve())


def _check_resolved(source: Path, output: Path, resolved: Path) -> None:
    if _lies_in(source, resolved) and _lies_in(resolved, source):
        raise VolumeError(f"{output}: the output is the input; choose another output")
    if _lies_in(resolved, source):
        raise VolumeError(f"{output}: the output lies inside the input {source}; choose another output")
    if _lies_in(source, resolved):
        raise VolumeError(f"{output}: the input {source} lies inside the output; choose another output")
    if _lies_in(source, partial_path(resolved)):
        raise VolumeError(
            f"{output}: the input {source} lies where an output of that name is prepared; "
            f"choose another output"
        )


def _lies_in(inner: Path, outer: Path) -> bool:
    """True if ``inner`` is ``outer`` or below it. Compares files, as some file systems ignore case."""
    return outer.exists() and any(p.exists() and p.samefile(outer) for p in (inner, *inner.parents))
