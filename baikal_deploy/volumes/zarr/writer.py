"""Writer of OME-NGFF images with a pyramid: 0.5 in sharded Zarr 3, 0.4 in Zarr 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Self

import zarr

from baikal_deploy.host.durable import sync_file, sync_files
from baikal_deploy.pixels.arrays import Raw, Region
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import at_level, check_item, plane_index
from baikal_deploy.volumes.layout import Layout, plan_items, plan_reductions
from baikal_deploy.volumes.paths import PROVENANCE, writing
from baikal_deploy.volumes.pyramid import downsample, pyramid_levels
from baikal_deploy.volumes.replacing import replace_store
from baikal_deploy.volumes.storage import Ngff
from baikal_deploy.volumes.urls import Source
from baikal_deploy.volumes.zarr.labels import copy_labels
from baikal_deploy.volumes.zarr.metadata import image_attributes, validate
from baikal_deploy.volumes.zarr.versions import IMAGE, METADATA_FILE, in_form, ngff_of


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
        attributes = group_attributes(info, self.ngff)
        with writing(self.path, "the metadata"):
            for number, array in enumerate(self.levels):
                if array.shape[:-2] != info.shape[:-2]:
                    array.resize((*info.shape[:-2], *array.shape[-2:]))
                    name = ".zarray" if self.ngff == "0.4" else "zarr.json"
                    sync_file(self.location / str(number) / name, self.location)
            found = self.group.attrs.asdict()
            if any(found.get(key) != value for key, value in attributes.items()):
                self.group.update_attributes(attributes)
        return replace(self, info=info)

    @property
    def ngff(self) -> Ngff:
        """Version of OME-NGFF."""
        return ngff_of(self.group)

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
        index = plane_index(self.info, planes, region)
        self.levels[level][index] = pixels if self.info.shape[:-2] else pixels[0]

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
        """Shards, or chunks without them, that hold the pixels of a piece; see ``Writer.files``."""
        return [
            self.location / str(level) / self.levels[level].metadata.encode_chunk_key(place)
            for level, region in self._parts(piece)
            for place in _places(self.levels[level], (*plane_index(self.info, piece.planes)[:-2], *region))
        ]

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when a piece that was written is on disk; see ``Writer.sync``."""
        with writing(self.path, self.info.describe_range(piece.planes)):
            sync_files([file for file in self.files(piece) if file.exists()], self.location)

    def copy_labels(self, labels: Source) -> list[str]:
        """Give the image the label images of another one; see ``Writer.copy_labels``."""
        return copy_labels(labels, self.location, self.ngff)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Mark the image complete, and replace the one that was to be overwritten; see ``Writer.finish``."""
        with writing(self.path, "the provenance"):
            self.group.update_attributes({PROVENANCE: {**provenance, "complete": True}})
            sync_file(self.location / METADATA_FILE[self.ngff], self.location)
        target = self.path.resolve()
        if self.location != target:
            replace_store(self.location, target, self.run)


def _places(array: zarr.Array[Any], index: Sequence[int | slice]) -> Iterator[tuple[int, ...]]:
    """Places, in the grid of files of an array, that hold a part of it."""
    edges = array.shards or array.chunks
    spans = [one if isinstance(one, slice) else slice(one, one + 1) for one in index]
    return product(
        *(range(span.start // edge, -(-span.stop // edge)) for span, edge in zip(spans, edges, strict=True))
    )


def group_attributes(info: VolumeInfo, ngff: Ngff) -> dict[str, Any]:
    """Attributes of the group of an image.

    Args:
        info: the image.
        ngff: version of OME-NGFF.

    Raises:
        VolumeError: metadata that is not valid.
    """
    block = image_attributes(info, pyramid_levels(info.plane_shape))
    if ngff == "0.5":
        return {"ome": block}
    attributes = in_form({"ome": block}, IMAGE, ngff)
    validate(info.path, attributes)
    return attributes
