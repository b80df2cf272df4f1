"""One run at a time for each output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from baikal_deploy.errors import VolumeError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of an output, a file beside it; the system frees it when a process dies.

    Args:
        path: the output.

    Raises:
        VolumeError: another run holds it, or nothing can be locked there.
    """
    lock = FileLock(lock_path(path), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise VolumeError(
            f"{path}: another run is writing it now; wait for that one, or choose another output"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise VolumeError(
            f"{path}: cannot be locked against other runs ({error}); correct the permissions of its folder, "
            f"or write to another disk"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file; one that is left hinders nobody
            lock_path(path).unlink()
        lock.release()


def check_unlocked(path: Path) -> None:
    """Raise VolumeError if another run is writing an output.

    Args:
        path: the output.
    """
    if lock_path(path).exists():
        with locked(path):
            pass


def lock_path(path: Path) -> Path:
    """Path of the lock of an output.

    Args:
        path: the output; links are followed.
    """
    return path.resolve().with_name(path.resolve().name + ".lock")
