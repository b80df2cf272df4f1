"""The formats of images, as their names tell."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.volumes.urls import Source

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
MICROSCOPE_SUFFIXES = (".czi", ".nd2")
"""Files of microscopes, which others' packages read."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
NDTIFF_INDEX = ("NDTiff.index", "Full resolution/NDTiff.index")
"""Paths of the index in an NDTiff data set."""
LARGEST_INDEX = 2**28
"""Bytes of the largest such index that is read: one of a million images and more."""


def is_tiff(path: Source) -> bool:
    """True if a name is one of a TIFF file.

    Args:
        path: whatever is there.
    """
    return path.suffix.lower() in TIFF_SUFFIXES


def is_picture(path: Source) -> bool:
    """True if a name is one of a PNG or JPEG file.

    Args:
        path: whatever is there.
    """
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_ndtiff(path: Path) -> bool:
    """True if a folder is an NDTiff data set.

    Args:
        path: of anything.
    """
    return any((path / name).is_file() for name in NDTIFF_INDEX)
