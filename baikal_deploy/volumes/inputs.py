"""Opens what a run reads, whatever its format."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from baikal_deploy.volumes.base import Volume


@runtime_checkable
class HasFiles(Protocol):
    """A volume that may lie in several files."""

    @property
    def files(self) -> frozenset[Path]: ...


TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")


def is_tiff(path: Path) -> bool:
    """Whether a name is one of a TIFF file."""
    return path.suffix.lower() in TIFF_SUFFIXES


def files_of(volume: Volume) -> frozenset[Path]:
    """The files that a volume of a TIFF file lies in, links followed; none for a Zarr store."""
    return volume.files if isinstance(volume, HasFiles) else frozenset()


def open_input(path: Path, series: int | None = None) -> Volume:
    """Opens a TIFF file, a Zarr array, or level 0 of an OME-Zarr image.

    Args:
        series: which image of a TIFF file or OME-Zarr store with several; None: the only one.

    Raises:
        VolumeError: nothing there, a format that cannot be read, no single image, or one that is damaged.
    """
    # A format's library is loaded only for those who have such a file.
    if is_tiff(path) and path.is_file():
        from baikal_deploy.volumes.tiff import open_tiff

        return open_tiff(path, series)
    from baikal_deploy.volumes.zarr import open_volume

    return open_volume(path, series)
