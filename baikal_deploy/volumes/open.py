"""Opens what a run reads, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.axes import require_axes
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.formats import MICROSCOPE_SUFFIXES, is_ndtiff, is_picture, is_tiff
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.places import check_not_empty, check_reachable
from baikal_deploy.volumes.urls import Source, Url


@runtime_checkable
class HasFiles(Protocol):
    """A volume that may lie in several files."""

    @property
    def files(self) -> frozenset[Path]: ...


@runtime_checkable
class HasLabels(Protocol):
    """A volume that may have label images."""

    @property
    def labels(self) -> Source | None: ...


def is_image(path: Path) -> bool:
    """True if something that exists has a form that can be read, by its name or its files' names.

    Args:
        path: of anything.
    """
    if path.is_dir():
        return is_zarr(path) or is_ndtiff(path)
    return is_tiff(path) or is_picture(path) or path.suffix.lower() in MICROSCOPE_SUFFIXES


def images_among(paths: Sequence[Path]) -> list[Path]:
    """What ``is_image`` takes for images; PNG and JPEG only where there is nothing else.

    Beside images of a microscope these mostly are pictures of them.

    Args:
        paths: of anything.
    """
    found = [path for path in paths if is_image(path)]
    return [path for path in found if not is_picture(path)] or found


def files_of(volume: Volume) -> frozenset[Path]:
    """Files that a volume lies in, links followed; none for a Zarr store.

    Args:
        volume: of any format.
    """
    return volume.files if isinstance(volume, HasFiles) else frozenset()


def labels_of(volume: Volume) -> Source | None:
    """Zarr group with the label images of a volume; None without any.

    Args:
        volume: of any format.
    """
    return volume.labels if isinstance(volume, HasLabels) else None


def open_input(path: Source, series: int | None = None, axes: str | None = None) -> Volume:
    """Open a file or folder of any format that is known; of OME-Zarr, level 0. At a URL only Zarr is.

    Args:
        path: the file, folder or URL.
        series: which image of several; None: the only one.
        axes: names of its axes, such as "zyx", if no metadata names them; None: as ``plain_axes`` has it.

    Returns:
        A volume whose pixels are read when they are asked for.

    Raises:
        VolumeError: nothing there, a format that cannot be read, no single image, or one that is damaged; its
            metadata names other axes.
    """
    # A format's library is loaded only for those who have such a file.
    if not isinstance(path, Url):
        check_reachable(path)
        check_not_empty(path)
        if path.exists() and not path.is_file() and not path.is_dir():
            raise VolumeError(f"{path}: is a pipe or a device; write its content to a file, and give that")
        if is_tiff(path) and path.is_file():
            from baikal_deploy.volumes.tiff.reader import open_tiff

            return open_tiff(path, series, axes)
        if (named := _open_named(path, series)) is not None:
            require_axes(path, "".join(axis.name for axis in named.info.axes), axes)
            return named
    from baikal_deploy.volumes.zarr.reader import open_volume

    return open_volume(path, series, axes)


def _open_named(path: Path, series: int | None) -> Volume | None:
    """Open what is of a format in which axes have names; None for anything else."""
    if is_picture(path) and path.is_file():
        from baikal_deploy.volumes.vendors.picture import open_picture

        return open_picture(path, series)
    if path.suffix.lower() == ".czi" and path.is_file():
        from baikal_deploy.volumes.vendors.czi import open_czi

        return open_czi(path, series)
    if path.suffix.lower() == ".nd2" and path.is_file():
        from baikal_deploy.volumes.vendors.nd2 import open_nd2

        return open_nd2(path, series)
    if is_ndtiff(path):
        from baikal_deploy.volumes.vendors.ndtiff import open_ndtiff

        return open_ndtiff(path, series)
    return None
