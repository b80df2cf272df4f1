"""Writes volumes: OME-NGFF 0.5 images with a pyramid, in sharded Zarr 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from zarr.codecs import ZstdCodec

from baikal_deploy.durable import sync_file
from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Pixels, VolumeInfo, WorkItem
from baikal_deploy.volumes.layout import (
    SHARD_BYTES,
    check_item,
    chunk_shape,
    plan_items,
    plane_index,
    planes_per_shard,
    shard_shape,
)
from baikal_deploy.volumes.ngff import image_attributes
from baikal_deploy.volumes.pyramid import downsample, pyramid_levels
from baikal_deploy.volumes.stores import PROVENANCE, claim_output, replace_store, writing


@dataclass(frozen=True)
class OutputVolume:
    """An image that is being written; made by ``create``.

    Items may be written in any order and by several threads, but each by one. The group attribute
    "baikal" says whether the image is complete.

    Attributes:
        path: where the image will be.
        info: its axes, shape, pixel type, and so on.
        items: what there is to write; one shard of every level each.
        location: where the image is until ``finish``: at ``path``, links followed, or beside it.
        group: the image.
        levels: the arrays of the pyramid.
    """

    path: Path
    info: VolumeInfo
    items: tuple[WorkItem, ...]
    location: Path
    group: zarr.Group
    levels: tuple[zarr.Array[Any], ...]

    @classmethod
    def create(
        cls, path: Path, info: VolumeInfo, *, overwrite: bool = False, shard_bytes: int = SHARD_BYTES
    ) -> OutputVolume:
        """Writes the metadata and the empty arrays of every level.

        Args:
            info: what to write; ``info.dtype`` is the output's pixel type.
            overwrite: replace an existing Zarr store. It stays whole until ``finish``: until then
                the image is written to NAME.partial beside it.
            shard_bytes: size of a work item, as far as whole planes allow.

        Raises:
            VolumeError: the path is taken, or cannot be written; metadata that is not valid.
        """
        levels = pyramid_levels(info.plane_shape)
        attributes = {"ome": image_attributes(info, levels), PROVENANCE: {"complete": False}}
        location = claim_output(path.resolve(), overwrite)
        count = planes_per_shard(info, shard_bytes)
        with writing(path, "the metadata"):
            group = zarr.create_group(location, attributes=attributes, zarr_format=3)
            arrays = [
                _create_array(group, str(index), info, level.plane_shape, count)
                for index, level in enumerate(levels)
            ]
        return cls(path, info, tuple(plan_items(info, count)), location, group, tuple(arrays))

    @classmethod
    def resume(
        cls, path: Path, info: VolumeInfo, location: Path, *, shard_bytes: int = SHARD_BYTES
    ) -> OutputVolume:
        """Goes on with an image that ``create`` began with the same arguments.

        Args:
            location: where it is: where ``create`` put it, or at ``path`` if it has moved there since.

        Raises:
            VolumeError: it is not there, or is another image.
        """
        shapes = [(*info.shape[:-2], *level.plane_shape) for level in pyramid_levels(info.plane_shape)]
        try:
            group = zarr.open_group(location, mode="r+", use_consolidated=False)
            arrays = [group[str(level)] for level in range(len(shapes))]
            if [(array.shape, array.dtype) for array in arrays] != [(shape, info.dtype) for shape in shapes]:  # type: ignore[union-attr]
                raise ValueError("its arrays have other shapes or types")
        except Exception as error:  # damaged metadata ends in anything
            raise VolumeError(
                f"{path}: the unfinished output cannot be gone on with ({type(error).__name__}: {error}); "
                f"remove it, and run again"
            ) from error
        items = tuple(plan_items(info, planes_per_shard(info, shard_bytes)))
        return cls(path, info, items, location, group, tuple(arrays))  # type: ignore[arg-type]

    def write(self, item: WorkItem, planes: Pixels) -> None:
        """Writes one item to all levels.

        Args:
            item: one of ``items``.
            planes: (N, H, W), in ``info.dtype``.

        Raises:
            VolumeError: planes that do not fit the item, or a full disk and the like.
        """
        check_item(self.path, self.info, self.items, item, planes)
        index = plane_index(self.info, item.planes)
        with writing(self.path, self.info.describe_range(item.planes)):
            for number, array in enumerate(self.levels):
                planes = downsample(planes) if number else planes
                array[index] = planes if self.info.shape[:-2] else planes[0]

    def files(self, item: WorkItem) -> list[Path]:
        """Where the shards of an item are; one with nothing but zeros has no file."""
        *leading, first = self.info.position(item.planes.start) or (0,)
        files = []
        for number, array in enumerate(self.levels):
            assert array.shards is not None
            place = (*leading, first // array.shards[-3], 0, 0) if self.info.shape[:-2] else (0, 0)
            files.append(self.location / str(number) / array.metadata.encode_chunk_key(place))
        return files

    def sync(self, item: WorkItem) -> None:
        """Returns when an item that was written is on disk. Raises VolumeError: a full disk and the like."""
        with writing(self.path, self.info.describe_range(item.planes)):
            for file in self.files(item):
                if file.exists():
                    sync_file(file, self.location)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Records how the image was made and marks it complete; then replaces the image that was to
        be overwritten.

        Args:
            provenance: anything that JSON can hold.

        Raises:
            VolumeError: a full disk and the like.
        """
        with writing(self.path, "the provenance"):
            self.group.update_attributes({PROVENANCE: {**provenance, "complete": True}})
            sync_file(self.location / "zarr.json", self.location)
        target = self.path.resolve()
        if self.location != target:
            replace_store(self.location, target)


def _create_array(
    group: zarr.Group, name: str, info: VolumeInfo, plane_shape: tuple[int, int], planes: int
) -> zarr.Array[Any]:
    shape = info.shape[:-2] + plane_shape
    return group.create_array(
        name,
        shape=shape,
        dtype=info.dtype,
        chunks=chunk_shape(shape),
        shards=shard_shape(shape, planes),
        compressors=ZstdCodec(level=1),
        fill_value=0,
        dimension_names=[axis.name for axis in info.axes],
    )
