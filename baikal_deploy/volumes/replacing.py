"""Replacement of a store by a new one, so that a kill at any moment loses neither.

The old one is moved aside, into a folder whose name holds the id of the run; then the new one takes its
place, and only then the old one is removed. The id tells the next run what it may settle.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from baikal_deploy.host.moves import move, remove_empty, remove_folder
from baikal_deploy.volumes.paths import discard, require_store, translated


def aside_path(path: Path, run: str) -> Path:
    """Path of the folder in which the store that a run replaces lies until the new one is in its place.

    Args:
        path: the output.
        run: id of the run, which no other has.
    """
    return path.with_name(f"{path.name}.replaced-{run[:8]}")


def replace_store(new: Path, path: Path, run: str | None = None) -> None:
    """Put the store ``new`` in the place of the store ``path``, which is removed last.

    If nothing is at ``path``, as after a kill in here, ``new`` is only moved.

    Args:
        new: a store beside ``path``.
        path: the output.
        run: id of the run, by which the next one knows what a kill in here has left; None: none.

    Raises:
        VolumeError: see ``require_store``; or the system refuses.
    """
    if not os.path.lexists(path):
        with translated(path, f"put in place (the new output is whole, in {new})"):
            move(new, path)
        return
    require_store(path)
    with translated(path, f"replaced (the new output is whole, in {new})"):
        aside = aside_path(path, run or uuid4().hex)
        aside.mkdir(0o700, exist_ok=run is not None)  # a kill of this run may have left it
        old = move(path, aside / path.name)
        try:
            move(new, path)
        except OSError:
            move(old, path)
            remove_empty(aside)
            raise
    with translated(aside, "removed (the new output is in place)"):
        remove_folder(old)
        remove_empty(aside)


def settle_replaced(path: Path, run: str) -> None:
    """Settle what ``replace_store`` had put aside from ``path`` when it was killed.

    It is removed if something is in its place, and put back if nothing is.

    Args:
        path: the output.
        run: id of the run that was to replace it.

    Raises:
        VolumeError: there are files of something else; the system refuses.
    """
    aside = aside_path(path, run)
    if aside.is_symlink() or not aside.is_dir():
        return
    old = aside / path.name
    with translated(aside, "settled"):
        if old.exists() and os.path.lexists(path):
            discard(old)
        elif old.exists():
            move(old, path)
        remove_empty(aside)
