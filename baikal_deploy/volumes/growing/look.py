"""Stores that another process is writing: how much of one is there for good."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.volumes.formats import MICROSCOPE_SUFFIXES, NDTIFF_INDEX, is_ndtiff, is_picture, is_tiff
from baikal_deploy.volumes.growing.base import CannotFollow, Look, Seen
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.urls import Source, Url


def look(path: Source, series: int | None, before: Seen, final: bool) -> Seen:
    """Look once at a store of any format that can be followed.

    Args:
        path: the store.
        series: which image of several; None: the only one.
        before: what the look before has found.
        final: whether nothing more will come.

    Raises:
        CannotFollow: nobody can tell what is written for good: URLs, files and pyramids among others.
        VolumeError: what lies there cannot be read, or cannot be read yet.
    """
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
    return _look_for(path)(path, series, before, final)


def _look_for(path: Path) -> Look:
    if is_ndtiff(path):
        from baikal_deploy.volumes.growing.ndtiff import look_at_ndtiff

        return look_at_ndtiff
    from baikal_deploy.volumes.growing.zarr import look_at_zarr

    return look_at_zarr


def _why_no_file(path: Path) -> str:
    if is_tiff(path) or is_picture(path) or path.suffix.lower() in MICROSCOPE_SUFFIXES:
        return (
            "files cannot be followed while they are written, only Zarr stores and NDTiff folders; "
            "run without --follow when it is whole"
        )
    if is_zarr(path.parent):
        return f"is a file inside a Zarr store; give the folder {path.parent}"
    return "is a file of a format that cannot be read; see docs/formats.md"
