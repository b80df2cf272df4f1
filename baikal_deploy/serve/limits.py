"""Limits of what a server takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Limits of a server of frames.

    Attributes:
        largest: megabytes of a request.
        streams: channels, each in one pixel type, that may have an intensity mapping.
        shared_memory: folder of the files that clients on this machine may share; None: none.
    """

    largest: int = 64
    streams: int = 16
    shared_memory: Path | None = None
