"""Paths that are spelled as on Windows, and stand for files of this system."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

needs_posix_pathlib = pytest.mark.skipif(
    sys.platform == "win32" or sys.version_info >= (3, 12),
    reason="Windows has such paths itself, and pathlib of 3.12 and later opens files by their spelling",
)


class WindowsLike(type(Path())):  # type: ignore[misc]
    """A path whose text is "C:\\\\tmp\\\\a.zarr" where that of the file is "/tmp/a.zarr".

    Whoever takes places in a store out of texts finds none; whoever asks the path does.
    """

    def __fspath__(self) -> str:
        return str(super().__str__())

    def __str__(self) -> str:
        return _spelled(super().__str__())

    def as_posix(self) -> str:
        text = str(super().__str__())
        return f"C:{text}" if text.startswith("/") else text


def _spelled(text: str) -> str:
    spelled = text.replace("/", "\\")
    return f"C:{spelled}" if text.startswith("/") else spelled
