"""What is known of an input that still grows."""

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
    """What is there of a store.

    Attributes:
        volume: what is written for good: all that there is along the axes but the first, and along the first
            as much as there is; None: nothing yet.
        stamp: changes whenever the writer does anything that can be seen.
        ended: whether the store tells that nothing will follow.
        rest: whether more was begun, which is not whole.
        lacks_metadata: whether that of the image is not there, with pixel sizes and units; the writer may add
            it when it ends.
    """

    volume: Volume | None
    stamp: Any = None
    ended: bool = False
    rest: bool = False
    lacks_metadata: bool = False


Look = Callable[[Path, int | None, int, bool], Seen]
"""(path, series, how many steps of the first axis were there before, whether nothing more will come) -> what
is there.

Raises:
    CannotFollow: see there.
    VolumeError: what lies there cannot be read, or cannot be read yet.
"""
