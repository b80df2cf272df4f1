"""The places of files: what the system says of one before anything is written there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.host import machine
from baikal_deploy.volumes import names
from baikal_deploy.volumes.paths import partial_path, translated
from baikal_deploy.volumes.urls import Source, Url

LONGEST_ENDING = f".{32 * '0'}.partial"
"""Longest ending of the names beside an output while it is written; see host/durable.py."""
LONGEST_INSIDE = 120
"""Characters that paths inside an image, or beside an unfinished one, have at most beyond its own."""


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


def check_not_empty(path: Path) -> None:
    """Refuse a file of no bytes, as an interrupted copy leaves it; not a folder, or what is not there.

    Args:
        path: of anything.

    Raises:
        VolumeError: it is empty.
    """
    if path.is_file() and not path.stat().st_size:
        raise VolumeError(f"{path}: is empty (0 bytes); copy or export it again")


def check_writable(path: Path, option: str = "") -> None:
    """Refuse a place where no file can be made. Nothing is left of the attempt.

    Args:
        path: the file or folder that is to be written.
        option: that it was given with, for the message; without one it is OUTPUT.

    Raises:
        VolumeError: links that form a loop, a name that is too long or that the system does not allow, a
            folder that does not exist or that nothing can be written to.
    """
    where, another = (f"{option} {path}", "file") if option else (f"{path}", "OUTPUT")
    if names.WINDOWS and (fault := names.fault_on_windows(path.name)):
        raise VolumeError(f"{where}: its name {fault}; name another {another}")
    check_length(path, len(LONGEST_ENDING), option)
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


def check_model_file(path: Path, option: str, suffix: str) -> None:
    """Refuse a place for a model where something else would be lost, such as an image that it was made of.

    Args:
        path: the file that is to be written.
        option: that it was given with.
        suffix: that files of its kind have; one that has it may be replaced.

    Raises:
        ConfigError: a folder, or a file or device of another kind.
        VolumeError: see ``check_writable``.
    """
    check_writable(path, option)
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; name a file")
    if path.exists() and not (path.is_file() and path.suffix.lower() == suffix):
        raise ConfigError(
            f"{option} {path}: is there already, and by its name no {suffix} file; name another file"
        )


def check_length(path: Path, more: int, option: str = "") -> None:
    """Refuse a path that Windows cannot have, as it is set up here; other systems tell it themselves.

    Args:
        path: the file or folder that is to be written.
        more: characters that paths inside or beside it have beyond its own.
        option: as in ``check_writable``.

    Raises:
        VolumeError: it is too long.
    """
    longest = machine.longest_path()
    length = len(os.path.abspath(path)) + more
    if longest is not None and length > longest:
        raise VolumeError(
            f"{option} {path}: has files with paths of {length} characters, and Windows is set up here for "
            f"{longest}; choose a shorter path, or let it have long ones (Group Policy, Filesystem, Enable "
            f"Win32 long paths)".lstrip()
        )


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
