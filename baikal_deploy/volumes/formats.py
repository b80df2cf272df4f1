"""Which format something is of, as its name tells."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.volumes.urls import Source

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
BIOIO_SUFFIXES = (".czi", ".nd2")
NDTIFF_INDEX = ("NDTiff.index", "Full resolution/NDTiff.index")
"""Where an NDTiff data set has its index."""
LARGEST_INDEX = 2**28
"""Bytes of the largest such index that is read: one of a million images and more."""


def is_tiff(path: Source) -> bool:
    """Whether a name is one of a TIFF file."""
    return path.suffix.lower() in TIFF_SUFFIXES


def is_ndtiff(path: Path) -> bool:
    """Whether a folder is an NDTiff data set."""
    return any((path / name).is_file() for name in NDTIFF_INDEX)
