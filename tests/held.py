"""A file system as on Windows, where other programs hold files for a moment: every path is refused once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.host import moves

CALLS = ("replace", "rename", "unlink", "remove", "rmdir", "link")
"""Functions of ``os`` that Windows refuses for files that are open."""


@contextmanager
def held_once(folder: Path, code: int = 32) -> Iterator[set[str]]:
    """Refuse each path below a folder once in every call that moves or removes, with a code of Windows.

    Args:
        folder: the only place where files are held.
        code: that the system gives, ``winerror``.

    Yields:
        What was refused so far: the calls and names.
    """
    refused: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, _holding(name, getattr(os, name), folder, code, refused))
        patch.setattr(moves, "FIRST_PAUSE", 0.0)
        yield refused


def _holding(name: str, call: Any, folder: Path, code: int, refused: set[str]) -> Any:
    def held(path: Any, *args: Any, **kwargs: Any) -> Any:
        key = f"{name} {os.fspath(path)}"
        inside = kwargs.get("dir_fd") is not None or Path(path).is_relative_to(folder)
        if inside and os.path.lexists(path) and key not in refused:
            refused.add(key)
            raise refusal(code, os.fspath(path))
        return call(path, *args, **kwargs)

    return held


def refusal(code: int, path: str) -> PermissionError:
    """The error that Windows raises for a file that another program has open."""
    error = PermissionError(13, "The process cannot access the file", path)
    vars(error)["winerror"] = code
    return error
