"""Stores that another process is writing: how much of one is there for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.inputs import BIOIO_SUFFIXES, NDTIFF_INDEX, is_ndtiff, is_tiff
from baikal_deploy.volumes.stores import is_zarr
from baikal_deploy.volumes.urls import Source, Url


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


def look(path: Source, series: int | None, known: int, final: bool) -> Seen:
    """See ``Look``."""
    if isinstance(path, Url):
        raise CannotFollow(f"{path}: only local stores can be followed")
    if path.is_file():
        raise CannotFollow(f"{path}: {_why_no_file(path)}")
    if not path.is_dir():
        return Seen(None)
    if (path / NDTIFF_INDEX[1]).exists():
        raise CannotFollow(
            f"{path}: NDTiff pyramids cannot be followed; run without --follow when it is whole"
        )
    return _look_for(path)(path, series, known, final)


def _look_for(path: Path) -> Look:
    if is_ndtiff(path):
        from baikal_deploy.volumes.growing_ndtiff import look_at_ndtiff

        return look_at_ndtiff
    from baikal_deploy.volumes.growing_zarr import look_at_zarr

    return look_at_zarr


def _why_no_file(path: Path) -> str:
    if is_tiff(path) or path.suffix.lower() in BIOIO_SUFFIXES:
        return (
            "files cannot be followed while they are written, only Zarr stores and NDTiff folders; "
            "run without --follow when it is whole"
        )
    if is_zarr(path.parent):
        return f"is a file inside a Zarr store; give the folder {path.parent}"
    return "is a file of a format that cannot be read; see docs/formats.md"
