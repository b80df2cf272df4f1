"""Moving and removing files that other programs may hold for a moment.

Windows refuses to rename or remove a file while a virus scanner, an indexer or a viewer has it open. Most
hold it for milliseconds, so it is tried again for a few seconds.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

HELD = (5, 32)
"""Windows' codes for a file that is held: ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION."""
PATIENCE = 5.0
"""Seconds for which a file may be held."""
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5


def is_held(error: OSError) -> bool:
    """True if another program may hold the file; never on systems but Windows.

    Args:
        error: of a call to the system.
    """
    return getattr(error, "winerror", None) in HELD


def patiently(call: Callable[[], T]) -> T:
    """Call what Windows may refuse for a moment, again and again for some seconds.

    Args:
        call: may be called again after it failed.

    Returns:
        What the call returns.

    Raises:
        OSError: it was refused to the end; the message names who may hold the file.
    """
    end, pause = time.monotonic() + PATIENCE, FIRST_PAUSE
    while True:
        try:
            return call()
        except OSError as error:
            if not is_held(error):
                raise
            if time.monotonic() > end:
                raise _explained(error) from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _explained(error: OSError) -> OSError:
    reason = f"{error.strerror}; another program may hold it, such as a viewer, a virus scanner or a backup"
    return type(error)(error.errno, f"{reason}: close that and repeat the command", error.filename)


def move(old: Path, new: Path) -> Path:
    """Move a file or a folder within its disk; a file takes the place of one that is there.

    Args:
        old: where it is.
        new: where it will be.

    Returns:
        ``new``.

    Raises:
        OSError: the system refuses.
    """
    return patiently(lambda: old.replace(new))


def remove_file(path: Path) -> None:
    """Remove a file, if it is there.

    Args:
        path: the file.

    Raises:
        OSError: the system refuses.
    """
    patiently(lambda: path.unlink(missing_ok=True))


def remove_folder(path: Path) -> None:
    """Remove a folder with all that it holds.

    Args:
        path: the folder.

    Raises:
        OSError: the system refuses; some of it may be gone.
    """
    patiently(lambda: shutil.rmtree(path))


def remove_empty(folder: Path) -> None:
    """Remove a folder that holds nothing.

    Args:
        folder: the folder.

    Raises:
        OSError: the system refuses, or there is something in it.
    """
    patiently(folder.rmdir)
