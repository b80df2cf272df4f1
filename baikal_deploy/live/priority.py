"""Threads that give way: where cores are short, those of the acquisition come first."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 10
"""A tenth of the share of a thread that does not give way. With less (19), others that take all cores keep it
from running while it holds Python's lock, and the acquisition waits for it."""


def give_way() -> None:
    """Lower the priority of this thread, and of those that it starts; one that is lower already stays.

    On Linux alone: elsewhere threads do not take over the priority of the one that starts them.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread))  # to raise it takes a privilege
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
