"""Readers of image files: ``base`` and ``image`` are common to all; the others wrap one library each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.paths import is_zarr
from baikal_training.data.readers import npy, png, tiff
from baikal_training.data.readers.base import Planes, close_files, reason
from baikal_training.data.readers.image import Channel, Image
from baikal_training.data.readers.zarr import zarr_images

__all__ = [
    "FORMATS",
    "Channel",
    "Image",
    "Planes",
    "care_pair",
    "close_files",
    "images",
    "is_image",
    "is_volume",
]

_T = TypeVar("_T")

_READERS: dict[str, Callable[[Path], list[Image]]] = {
    ".tif": tiff.tiff_images,
    ".tiff": tiff.tiff_images,
    ".png": png.png_images,
    ".npy": npy.npy_images,
    ".npz": npy.npz_images,
}
FORMATS = "TIFF, PNG, .npy, CARE .npz and Zarr"


def is_volume(path: Path) -> bool:
    """True if a folder is one input, and not a folder of inputs."""
    return path.suffix.lower() == ".zarr" or is_zarr(path)


def is_image(path: Path) -> bool:
    """True if a file's name is one of an image."""
    return path.suffix.lower() in _READERS


def images(path: Path) -> list[Image]:
    """The images in one file or Zarr store. No pixels are read, except from compressed .npz.

    Raises:
        VolumeError: no image, one that is damaged, or one that is not supported.
    """
    if not path.is_dir() and not is_image(path):
        raise VolumeError(
            f"{path}: is not an image that can be read; {FORMATS} can: convert it to one of them"
        )
    return _read(zarr_images if path.is_dir() else _READERS[path.suffix.lower()], path)


def care_pair(path: Path) -> tuple[Image, Image]:
    """The noisy and the clean side of a .npz file of CARE training data.

    Raises:
        VolumeError: one that is damaged, or is something else.
    """
    return _read(npy.npz_pair, path)


def _read(reader: Callable[[Path], _T], path: Path) -> _T:
    try:
        return reader(path)
    except (VolumeError, MemoryError):
        raise
    except Exception as error:  # damaged files make every library raise almost anything
        raise VolumeError(
            f"{path}: cannot be read as an image ({reason(error)}); replace it, or take it away"
        ) from error
