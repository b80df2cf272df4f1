"""State of an input that still grows, as a look at it finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Volume


class CannotFollow(VolumeError):
    """A store of which nobody can tell what is written for good; waiting changes nothing."""


@dataclass(frozen=True)
class Seen:
    """State of a store at one look: how much of it is written for good, and whether more will follow.

    Attributes:
        volume: what is written for good: all that there is along the axes but the first, and along the first
            as much as there is; None: nothing yet.
        stamp: changes whenever the writer does anything that can be seen.
        ended: whether the store tells that nothing will follow.
        rest: whether more was begun, which is not whole.
        lacks_metadata: whether that of the image is not there, with pixel sizes and units; the writer may add
            it when it ends.
        opened: what was read to tell all this; the next look reads it again only if its files have changed.
    """

    volume: Volume | None
    stamp: Any = None
    ended: bool = False
    rest: bool = False
    lacks_metadata: bool = False
    opened: Any = None

    @property
    def steps(self) -> int:
        """Steps of the first axis that are written for good."""
        return 0 if self.volume is None else self.volume.info.shape[0]


Look = Callable[[Path, int | None, Seen, bool], Seen]
"""Function that looks at a store once: (path, series, before, final) -> Seen.

Of the arguments, ``before`` is what the look before has found, and ``final`` whether nothing more will come.
Files that the writer may replace are opened only if they have changed since, and closed at once: Windows
replaces no file that is open.

Raises:
    CannotFollow: nobody can tell what is written for good.
    VolumeError: what lies there cannot be read, or cannot be read yet.
"""
