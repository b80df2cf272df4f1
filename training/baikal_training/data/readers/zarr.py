"""Zarr and OME-Zarr, through the runtime's reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from baikal_deploy.volumes import Volume
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.zarr.metadata import image_block
from baikal_deploy.volumes.zarr.reader import open_volume
from baikal_training.data.readers.base import Index, OnDisk, Pixels
from baikal_training.data.readers.image import Image

PLATE_DEPTH = 3
"""Groups from a plate down to its images, which lie in row/column/field."""


def zarr_images(path: Path) -> list[Image]:
    """The image of a Zarr store, or the images of a plate or another collection of OME-Zarr images.

    Raises:
        VolumeError: a store that is missing, damaged, or not supported.
    """
    return [_image(one) for one in list(_collected(path, PLATE_DEPTH)) or [path]]


def _collected(path: Path, depth: int) -> Iterator[Path]:
    """OME-Zarr images below a group that is not itself one. Plain arrays there may be anything."""
    if depth == 0 or not is_zarr(path) or not _is_bare_group(path):
        return
    for child in sorted(entry for entry in path.iterdir() if is_zarr(entry)):
        node = zarr.open(child, mode="r", use_consolidated=False)
        if isinstance(node, zarr.Group) and image_block(node.attrs.asdict()):
            yield child
        else:
            yield from _collected(child, depth - 1)


def _is_bare_group(path: Path) -> bool:
    node = zarr.open(path, mode="r", use_consolidated=False)
    return isinstance(node, zarr.Group) and image_block(node.attrs.asdict()) is None


def _image(path: Path) -> Image:
    info = open_volume(path).info
    axes = "".join(axis.name for axis in info.axes)
    names = (info.channel_name(channel) for channel in range(info.num_channels))
    named = tuple("" if name == f"channel {number}" else name for number, name in enumerate(names))
    return Image(str(path), OnDisk(ZarrStore(path)), info.shape, info.dtype, axes, named)


@dataclass(frozen=True)
class ZarrStore:
    """A source that opens a Zarr store."""

    path: Path

    def open(self) -> Pixels:
        return ZarrPixels(open_volume(self.path))


@dataclass(frozen=True)
class ZarrPixels:
    """A volume of the runtime, indexed by axes."""

    volume: Volume

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        info = self.volume.info
        *leading, rows, columns = index
        assert isinstance(rows, slice)
        assert isinstance(columns, slice)
        planes = np.arange(info.num_planes).reshape(info.shape[:-2])[tuple(leading)]
        if not planes.ndim:
            return self.volume.read_window(int(planes), rows, columns)
        pixels = self.volume.read(planes.ravel().tolist())
        return pixels.reshape(*planes.shape, *info.plane_shape)[..., rows, columns]
