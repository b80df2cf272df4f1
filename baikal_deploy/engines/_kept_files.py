"""Files of the user's own cache, each with a sidecar that says what it is.

An engine file is code for a GPU, and its reader trusts it. So a file is only read from a folder that
belongs to this user and that nobody else can write to, and only if its sidecar has the file's hash. The
file is put in place before its sidecar, both by renaming, so that what an interrupted program leaves
is never read.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from baikal_deploy._version import __version__
from baikal_deploy.errors import EngineError
from baikal_deploy.host.moves import move, remove_file

PATIENCE = 3600.0
"""Seconds to wait for another process; building an engine file can take many minutes."""
_PARTIAL = ".partial"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Refused(Exception):
    """A file of the cache that must not be used; the message says why."""


def engine_folder() -> Path:
    """Folder of the engine files."""
    return cache_folder() / "engines"


@contextmanager
def locked() -> Iterator[None]:
    """Make the folder, clear it of what was never finished, and keep all others from writing there.

    Raises:
        EngineError: it cannot be written, others can write to it, or another process keeps it locked.
    """
    folder = _made_folder()
    lock = FileLock(folder / "lock")
    try:
        with _writable(folder):
            lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise EngineError(
            f"{folder}: another process has kept the cache of engine files locked for {PATIENCE:.0f} s; "
            "wait for it, or end it"
        ) from error
    try:
        with _writable(folder):
            for kind in ("engine", "timing"):
                for leftover in folder.glob(f"*.{kind}*{_PARTIAL}"):
                    remove_file(leftover)
        yield
    finally:
        lock.release()


def _made_folder() -> Path:
    folder = engine_folder()
    with _writable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder()
    return folder


def check_folder() -> None:
    """Raise EngineError if there is a folder and it is another user's, or others can write to it."""
    folder = engine_folder()
    try:
        problem = _foreign(os.stat(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise EngineError(
            f"{folder}: the cache of engine files cannot be read ({error.strerror}); "
            f"set {VARIABLE} to a folder that can"
        ) from error
    if problem:
        raise EngineError(
            f"{folder}: the cache of engine files {problem}, who could put code there; make it yours alone "
            f"(chmod go-w), or set {VARIABLE} to another folder"
        )


def read(path: Path, key: dict[str, Any]) -> bytes:
    """The contents of a file that was kept under this key.

    Raises:
        Refused: it is not that file, or not as it was written.
    """
    entry = sidecar(path)
    if entry["key"] != key:
        raise Refused(f"is another one: {differences(entry['key'], key)}")
    try:
        data = _contents(path)
    except FileNotFoundError as error:
        raise Refused("is gone, while its sidecar is still there") from error
    if len(data) != entry["size"]:
        raise Refused(f"is not whole: {len(data)} bytes instead of {entry['size']}")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise Refused("was changed after it had been written")
    return data


def sidecar(path: Path) -> dict[str, Any]:
    """Contents of the sidecar of a file: "key", "sha256", "size", "date" and "software".

    Raises:
        Refused: there is none, or it is damaged.
    """
    try:
        entry = json.loads(_contents(sidecar_path(path)))
        if isinstance(entry["key"], dict) and {"sha256", "size"} <= entry.keys():
            return dict(entry)
    except FileNotFoundError as error:
        raise Refused("has no sidecar, as if writing it had been interrupted") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Refused("has a damaged sidecar") from error
    raise Refused("has a damaged sidecar")


def write(path: Path, data: bytes, key: dict[str, Any]) -> None:
    """Keep a file under a key. Raises EngineError if that is impossible."""
    entry = {
        "key": key,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"baikal-deploy {__version__}",
    }
    with _writable(_made_folder()):
        _replace(path, data)
        _replace(sidecar_path(path), json.dumps(entry, indent=1).encode())


def discard(path: Path) -> None:
    """Remove a file and its sidecar, if they are there."""
    with _writable(path.parent):
        remove_file(sidecar_path(path))
        remove_file(path)


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Describe for people in what two keys differ."""
    names = [name for name in wanted if found.get(name) != wanted[name]]
    return (
        ", ".join(f"{name} {found.get(name)} instead of {wanted[name]}" for name in names) or "other fields"
    )


def _contents(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if problem := _foreign(os.fstat(file.fileno())):
                raise Refused(problem)
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})") from error


def _foreign(status: os.stat_result) -> str:
    """Tell what lets others change a file or folder; empty if nothing does. Windows has no such modes."""
    if not hasattr(os, "geteuid"):
        return ""
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be written by other users" if status.st_mode & _OTHERS_WRITE else ""


def _replace(path: Path, data: bytes) -> None:
    partial = tempfile.NamedTemporaryFile(  # noqa: SIM115  # closed before it is renamed
        dir=path.parent, prefix=f"{path.name}.", suffix=_PARTIAL, delete=False
    )
    try:
        with partial:
            partial.write(data)
            partial.flush()
            os.fsync(partial.fileno())
        move(Path(partial.name), path)
    except BaseException:
        remove_file(Path(partial.name))
        raise


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:  # an OSError too
        raise
    except (OSError, NotImplementedError) as error:  # the latter where files cannot be locked
        reason = getattr(error, "strerror", None) or error
        raise EngineError(
            f"{folder}: the cache of engine files cannot be written ({reason}); "
            f"set {VARIABLE} to a folder that can"
        ) from error


VARIABLE = "BAIKAL_CACHE"


def cache_folder() -> Path:
    """The system's cache folder of this user, or the folder named by BAIKAL_CACHE."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else user_cache_path("baikal-deploy")
