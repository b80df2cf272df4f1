"""Writer of OME-NGFF 0.5 images with a pyramid, in sharded Zarr 3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import zarr

from baikal_deploy.host.durable import sync_file
from baikal_deploy.pixels.arrays import Raw, Region
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import at_level, check_item, plane_index
from baikal_deploy.volumes.layout import Layout, plan_items, plan_reductions
from baikal_deploy.volumes.paths import PROVENANCE, writing
from baikal_deploy.volumes.pyramid import downsample, pyramid_levels
from baikal_deploy.volumes.replacing import replace_store
from baikal_deploy.volumes.urls import Source
from baikal_deploy.volumes.zarr.labels import copy_labels
from baikal_deploy.volumes.zarr.metadata import image_attributes
from baikal_deploy.volumes.zarr.shards import write_shard


@dataclass(frozen=True)
class OutputVolume:
    """An OME-Zarr that is being written: a ``Writer``, whose methods are described there.

    The group attribute "baikal" says whether the image is complete.

    Attributes:
        layout: of the items and shards.
        group: the image.
        levels: the arrays of the pyramid.
        run: id of the run that writes it; None: none.
    """

    path: Path
    info: VolumeInfo
    layout: Layout
    location: Path
    group: zarr.Group
    levels: tuple[zarr.Array[Any], ...]
    run: str | None

    @cached_property
    def items(self) -> Sequence[WorkItem]:
        """Items: one shard each of every level that the layout lets them have a part in."""
        return plan_items(self.info, self.layout)

    @cached_property
    def reductions(self) -> Sequence[Reduction]:
        """Reductions to be made of the items; only where planes are cut into regions."""
        return plan_reductions(self.info, self.layout)

    def grown(self, info: VolumeInfo) -> Self:
        """The same image with more steps of the first axis; see ``Writer.grown``."""
        attributes = group_attributes(info)
        with writing(self.path, "the metadata"):
            for number, array in enumerate(self.levels):
                if array.shape[:-2] != info.shape[:-2]:
                    array.resize((*info.shape[:-2], *array.shape[-2:]))
                    sync_file(self.location / str(number) / "zarr.json", self.location)
            if self.group.attrs.asdict().get("ome") != attributes["ome"]:
                self.group.update_attributes(attributes)
        return replace(self, info=info)

    def write(self, item: WorkItem, planes: Raw) -> None:
        """Write one item to all levels that it has a part in; see ``Writer.write``."""
        check_item(self.path, self.info, self.items, item, planes)
        with writing(self.path, self.info.describe_range(item.planes)):
            for level, region in self._parts(item):
                planes = downsample(planes) if level else planes
                self._put(level, item.planes, region, planes)

    def reduce(self, reduction: Reduction) -> None:
        """Write one shard of a level from the level above; see ``Writer.reduce``."""
        above = self.levels[reduction.level - 1]
        sizes = zip(reduction.region, above.shape[-2:], strict=True)
        y, x = (slice(2 * span.start, min(2 * span.stop, size)) for span, size in sizes)
        with writing(self.path, f"level {reduction.level}"):
            planes: Any = above[plane_index(self.info, reduction.planes, (y, x))]
            reduced = downsample(planes if self.info.shape[:-2] else planes[None])
            self._put(reduction.level, reduction.planes, reduction.region, reduced)

    def _put(self, level: int, planes: range, region: Region, pixels: Raw) -> None:
        array = self.levels[level]
        assert array.shards is not None
        axis = self.layout.axis % len(array.shape[:-2]) if array.shape[:-2] else 0
        leading = [1] * len(array.shape[:-2])
        leading[axis : axis + 1] = [len(planes)] * len(leading[axis : axis + 1])
        file = self._file(level, planes, region)
        write_shard(file, pixels.reshape(*leading, *pixels.shape[1:]), array.shards, array.chunks)

    def _file(self, level: int, planes: range, region: Region) -> Path:
        """Shard that holds planes of a region of a level."""
        array, first = self.levels[level], plane_index(self.info, planes)[:-2]
        assert array.shards is not None
        starts = [i.start if isinstance(i, slice) else i for i in (*first, *region)]
        place = tuple(start // edge for start, edge in zip(starts, array.shards, strict=True))
        return self.location / str(level) / array.metadata.encode_chunk_key(place)

    def _parts(self, piece: WorkItem | Reduction) -> Iterator[tuple[int, Region]]:
        """(level, region of that level) of each shard of a piece."""
        if isinstance(piece, Reduction):
            yield piece.level, piece.region
            return
        height, width = self.info.plane_shape
        region = piece.region or (slice(0, height), slice(0, width))
        for level in range(len(self.levels)):
            if self.layout.has_part(level):
                yield level, at_level(region, level)

    def files(self, piece: WorkItem | Reduction) -> list[Path]:
        """Shards that hold the pixels of a piece; see ``Writer.files``."""
        return [self._file(level, piece.planes, region) for level, region in self._parts(piece)]

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when a piece that was written is on disk; see ``Writer.sync``."""
        with writing(self.path, self.info.describe_range(piece.planes)):
            for file in self.files(piece):
                if file.exists():
                    sync_file(file, self.location)

    def copy_labels(self, labels: Source) -> list[str]:
        """Give the image the label images of another one; see ``Writer.copy_labels``."""
        return copy_labels(labels, self.location)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Mark the image complete, and replace the one that was to be overwritten; see ``Writer.finish``."""
        with writing(self.path, "the provenance"):
            self.group.update_attributes({PROVENANCE: {**provenance, "complete": True}})
            sync_file(self.location / "zarr.json", self.location)
        target = self.path.resolve()
        if self.location != target:
            replace_store(self.location, target, self.run)


def group_attributes(info: VolumeInfo) -> dict[str, Any]:
    """Attributes of the group of an image.

    Args:
        info: the image.

    Raises:
        VolumeError: metadata that is not valid.
    """
    return {"ome": image_attributes(info, pyramid_levels(info.plane_shape))}
