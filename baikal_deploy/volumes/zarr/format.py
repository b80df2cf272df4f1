"""OME-Zarr as a format that is written: images with a pyramid, 0.5 in sharded Zarr 3, 0.4 in Zarr 2."""

from __future__ import annotations

from collections.abc import Collection
from itertools import repeat
from math import prod
from pathlib import Path
from typing import Any

import zarr

from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.layout import Layout, default_layout
from baikal_deploy.volumes.paths import (
    PROVENANCE,
    check_output,
    continuing,
    unfinished_by,
    writing,
)
from baikal_deploy.volumes.pyramid import pyramid_levels
from baikal_deploy.volumes.storage import USUAL, Storage
from baikal_deploy.volumes.zarr.arrays import create_array
from baikal_deploy.volumes.zarr.patient import PatientFolder
from baikal_deploy.volumes.zarr.versions import ZARR_FORMAT
from baikal_deploy.volumes.zarr.writer import OutputVolume, group_attributes


class OmeZarr:
    """The format of images in OME-Zarr: a ``Format``, whose methods are described there."""

    NAME = "OME-Zarr"
    GROWS = True
    SHARED = True
    NESTS = True
    KEPT = "before compression, with its pyramid"

    def __init__(self, storage: Storage = USUAL) -> None:
        self.storage = storage

    def size(self, info: VolumeInfo) -> int:
        """Bytes of an image; each level of the pyramid has a quarter of the pixels of the one above."""
        return prod(info.shape) * info.dtype.itemsize * 4 // 3

    def check_expressible(self, path: Path, info: VolumeInfo) -> None:
        """Refuse an image with metadata that is not valid; see ``Format.check_expressible``."""
        group_attributes(info, self.storage.ngff)

    def named(self, path: Path, info: VolumeInfo) -> Path:
        """The path as it is; see ``Format.named``."""
        return path

    def check_begin(self, path: Path, overwrite: bool, leftovers: Collection[Path]) -> None:
        """Refuse a store that must not be overwritten; see ``Format.check_begin``."""
        if path.resolve() not in leftovers:
            check_output(path, overwrite, leftovers)

    def begin(self, path: Path, overwrite: bool) -> Path:
        """Path at which a store grows; see ``Format.begin``."""
        return check_output(path.resolve(), overwrite)

    def create(
        self,
        path: Path,
        info: VolumeInfo,
        *,
        overwrite: bool = False,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> OutputVolume:
        """Write the metadata and the empty arrays of every level; see ``Format.create``."""
        attributes = {**group_attributes(info, self.storage.ngff), PROVENANCE: unfinished_by(run)}
        location = self.begin(path, overwrite)
        layout = layout or default_layout(info)
        with writing(path, "the metadata"):
            zarr_format = ZARR_FORMAT[self.storage.ngff]
            group = zarr.create_group(PatientFolder(location), attributes=attributes, zarr_format=zarr_format)
            arrays = [
                create_array(group, index, info, level.plane_shape, layout, self.storage)
                for index, level in enumerate(pyramid_levels(info.plane_shape))
            ]
        return OutputVolume(path, info, layout, location, group, tuple(arrays), run)

    def resume(
        self,
        path: Path,
        info: VolumeInfo,
        location: Path,
        *,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> OutputVolume:
        """Continue a store that ``create`` began; see ``Format.resume``."""
        shapes = [(*info.shape[:-2], *level.plane_shape) for level in pyramid_levels(info.plane_shape)]
        with continuing(path):
            group = zarr.open_group(PatientFolder(location), mode="r+", use_consolidated=False)
            arrays: list[Any] = [group[str(level)] for level in range(len(shapes))]
            if not all(map(_is_begun, arrays, shapes, repeat(info.dtype))):
                raise ValueError("its arrays have other shapes or types")
        layout = layout or default_layout(info)
        return OutputVolume(path, info, layout, location, group, tuple(arrays), run).grown(info)


def _is_begun(array: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    """True if an array is one of this shape, or will be when its first axis has grown."""
    if array.dtype != dtype or len(array.shape) != len(shape):
        return False
    return array.shape == shape or (
        len(shape) > 2 and array.shape[1:] == shape[1:] and array.shape[0] < shape[0]
    )
