"""What some systems cannot do, Windows above all: tests that need it skip there, by what is there."""

from __future__ import annotations

import importlib.util
import os
import signal
import tempfile
from functools import cache
from pathlib import Path

import pytest

NEEDS = {
    "links": ("symlink_to", "symlink"),
    "fifos": ("mkfifo",),
    "fork": ("fork",),
    "modes": ("chmod", "geteuid", "setuid"),
    "signals": ("SIGKILL", "SIGXFSZ", "SIGALRM", "alarm", "killpg", "send_signal"),
    "limits": ("setrlimit", "getrlimit"),
    "terminals": ("openpty",),
}
"""What a test may need, and the names of the functions and signals that need it."""


def require(*needs: str) -> None:
    """Skip the test that is under way unless this system can do all of this.

    Args:
        needs: of ``NEEDS``.
    """
    for need in needs:
        if not _there(need):
            pytest.skip(f"this system has no {need}, or not for this user")


@cache
def _there(need: str) -> bool:
    if need == "links":
        return _links()
    if need in ("limits", "terminals"):
        return importlib.util.find_spec({"limits": "resource", "terminals": "termios"}[need]) is not None
    owner, name = {
        "fifos": (os, "mkfifo"),
        "fork": (os, "fork"),
        "modes": (os, "geteuid"),
        "signals": (signal, "SIGKILL"),
    }[need]
    return hasattr(owner, name)


def _links() -> bool:
    """Windows lets only some users make links."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            Path(folder, "link").symlink_to("nothing")
        except (OSError, NotImplementedError):
            return False
    return True
