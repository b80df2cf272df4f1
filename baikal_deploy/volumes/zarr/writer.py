"""Writer of OME-NGFF 0.5 images with a pyramid, in sharded Zarr 3."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Self

import zarr
from zarr.codecs import ZstdCodec

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import sync_file
from baikal_deploy.pixels.arrays import Raw, Region
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import at_level, check_item, plane_index
from baikal_deploy.volumes.layout import (
    Layout,
    chunk_shape,
    default_layout,
    plan_items,
    plan_reductions,
    shard_shape,
)
from baikal_deploy.volumes.paths import (
    PROVENANCE,
    check_output,
    claim_output,
    partial_path,
    replace_store,
    unfinished_by,
    writing,
)
from baikal_deploy.volumes.pyramid import downsample, pyramid_levels
from baikal_deploy.volumes.urls import Source
from baikal_deploy.volumes.zarr.labels import copy_labels
from baikal_deploy.volumes.zarr.metadata import image_attributes


@dataclass(frozen=True)
class OutputVolume:
    """An OME-Zarr that is being written: a ``Writer``, whose class is a ``Format``.

    The group attribute "baikal" says whether the image is complete.

    Attributes:
        layout: of the items and shards.
        items: what there is to write: one shard each of every level that the layout lets them have a part
            in.
        reductions: what is then to be made of it; only where planes are cut into regions.
        group: the image.
        levels: the arrays of the pyramid.
    """

    NAME: ClassVar[str] = "OME-Zarr"
    GROWS: ClassVar[bool] = True
    SHARED: ClassVar[bool] = True
    NESTS: ClassVar[bool] = True
    KEPT: ClassVar[str] = "before compression, with its pyramid"

    path: Path
    info: VolumeInfo
    layout: Layout
    items: Sequence[WorkItem]
    reductions: Sequence[Reduction]
    location: Path
    group: zarr.Group
    levels: tuple[zarr.Array[Any], ...]

    @classmethod
    def size(cls, info: VolumeInfo) -> int:
        """Bytes of an image; each level of the pyramid has a quarter of the pixels of the one above.

        Args:
            info: the image.
        """
        return prod(info.shape) * info.dtype.itemsize * 4 // 3

    @classmethod
    def check_expressible(cls, path: Path, info: VolumeInfo) -> None:
        """Refuse an image with metadata that is not valid; see ``Format.check_expressible``.

        Args:
            path: the output.
            info: the image.

        Raises:
            VolumeError: metadata that is not valid.
        """
        _attributes(info)

    @classmethod
    def check_begin(cls, path: Path, overwrite: bool, leftovers: Collection[Path]) -> None:
        """Refuse an output that cannot be begun where it is to be; see ``Format.check_begin``.

        Args:
            path: the output.
            overwrite: a store that is there already may be replaced.
            leftovers: paths that will be removed.

        Raises:
            VolumeError: something is there that must not be overwritten.
        """
        target, partial = path.resolve(), partial_path(path.resolve())
        if target not in leftovers and not (overwrite and partial in leftovers):
            check_output(path, overwrite)

    @classmethod
    def begin(cls, path: Path, overwrite: bool) -> Path:
        """Clear the place where an output grows, and return it; see ``Format.begin``.

        Args:
            path: the output.
            overwrite: a store that is there already may be replaced.

        Raises:
            VolumeError: something is there that must not be overwritten.
        """
        return claim_output(path.resolve(), overwrite)

    @classmethod
    def create(
        cls,
        path: Path,
        info: VolumeInfo,
        *,
        overwrite: bool = False,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> Self:
        """Write the metadata and the empty arrays of every level; see ``Format.create``.

        Args:
            path: where the image will be.
            info: the image.
            overwrite: replace an existing image.
            layout: of the items; None: the default one.
            run: id of the run that writes it; None: none.

        Raises:
            VolumeError: the path is taken, or cannot be written; or metadata that is not valid.
        """
        levels = pyramid_levels(info.plane_shape)
        attributes = {**_attributes(info), PROVENANCE: unfinished_by(run)}
        location = cls.begin(path, overwrite)
        layout = layout or default_layout(info)
        with writing(path, "the metadata"):
            group = zarr.create_group(location, attributes=attributes, zarr_format=3)
            arrays = [
                _create_array(group, index, info, level.plane_shape, layout)
                for index, level in enumerate(levels)
            ]
        return cls._of(path, info, layout, location, group, arrays)

    @classmethod
    def _of(
        cls, path: Path, info: VolumeInfo, layout: Layout, location: Path, group: zarr.Group, arrays: Any
    ) -> Self:
        pieces = plan_items(info, layout), plan_reductions(info, layout)
        return cls(path, info, layout, *pieces, location, group, tuple(arrays))

    @classmethod
    def resume(cls, path: Path, info: VolumeInfo, location: Path, *, layout: Layout | None = None) -> Self:
        """Continue a store that ``create`` began; see ``Format.resume``.

        Args:
            path: where the image will be.
            info: the image, maybe with more steps of the first axis.
            location: where it is.
            layout: of the items, as ``create`` had it.

        Raises:
            VolumeError: it is not there, or is another image.
        """
        shapes = [(*info.shape[:-2], *level.plane_shape) for level in pyramid_levels(info.plane_shape)]
        try:
            group = zarr.open_group(location, mode="r+", use_consolidated=False)
            arrays = [group[str(level)] for level in range(len(shapes))]
            if not all(map(_is_begun, arrays, shapes, repeat(info.dtype))):
                raise ValueError("its arrays have other shapes or types")
        except Exception as error:  # damaged metadata ends in anything
            raise VolumeError(
                f"{path}: the unfinished output cannot be continued ({type(error).__name__}: {error}); "
                f"remove it, and run again"
            ) from error
        return cls._of(path, info, layout or default_layout(info), location, group, arrays).grown(info)

    def grown(self, info: VolumeInfo) -> Self:
        """The same image with more steps of the first axis; see ``Writer.grown``.

        Args:
            info: with these steps.

        Raises:
            VolumeError: a full disk and the like; metadata that is not valid.
        """
        attributes = _attributes(info)
        with writing(self.path, "the metadata"):
            for number, array in enumerate(self.levels):
                if array.shape[:-2] != info.shape[:-2]:
                    array.resize((*info.shape[:-2], *array.shape[-2:]))
                    sync_file(self.location / str(number) / "zarr.json", self.location)
            if self.group.attrs.asdict().get("ome") != attributes["ome"]:
                self.group.update_attributes(attributes)
        return self._of(self.path, info, self.layout, self.location, self.group, self.levels)

    def write(self, item: WorkItem, planes: Raw) -> None:
        """Write one item to all levels that it has a part in; see ``Writer.write``.

        Args:
            item: one of ``items``.
            planes: (N, H, W), or (N, height, width) of the item's region.

        Raises:
            VolumeError: planes that do not fit the item, or a full disk and the like.
        """
        check_item(self.path, self.info, self.items, item, planes)
        with writing(self.path, self.info.describe_range(item.planes)):
            for level, region in self._parts(item):
                planes = downsample(planes) if level else planes
                self._put(level, item.planes, region, planes)

    def reduce(self, reduction: Reduction) -> None:
        """Write one shard of a level from the level above; see ``Writer.reduce``.

        Args:
            reduction: one of ``reductions``.

        Raises:
            VolumeError: a full disk and the like.
        """
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
        """Shards that hold the pixels of a piece; one with nothing but zeros may be missing.

        Args:
            piece: an item or a reduction.
        """
        first = plane_index(self.info, piece.planes)[:-2]
        files = []
        for level, region in self._parts(piece):
            array = self.levels[level]
            assert array.shards is not None
            starts = [i.start if isinstance(i, slice) else i for i in (*first, *region)]
            place = tuple(start // edge for start, edge in zip(starts, array.shards, strict=True))
            files.append(self.location / str(level) / array.metadata.encode_chunk_key(place))
        return files

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when a piece that was written is on disk; see ``Writer.sync``.

        Args:
            piece: an item or a reduction.

        Raises:
            VolumeError: a full disk and the like.
        """
        with writing(self.path, self.info.describe_range(piece.planes)):
            for file in self.files(piece):
                if file.exists():
                    sync_file(file, self.location)

    def copy_labels(self, labels: Source) -> list[str]:
        """Give the image the label images of another one; see ``Writer.copy_labels``.

        Args:
            labels: the group that holds them.

        Returns:
            Remarks on labels that it could not have, in sentences.

        Raises:
            VolumeError: a full disk and the like.
        """
        return copy_labels(labels, self.location)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Mark the image complete, and replace the one that was to be overwritten; see ``Writer.finish``.

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


def _attributes(info: VolumeInfo) -> dict[str, Any]:
    """Attributes of the group of an image. Raises VolumeError: metadata that is not valid."""
    return {"ome": image_attributes(info, pyramid_levels(info.plane_shape))}


def _is_begun(array: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    """True if an array is one of this shape, or will be when its first axis has grown."""
    if array.dtype != dtype or len(array.shape) != len(shape):
        return False
    return array.shape == shape or (
        len(shape) > 2 and array.shape[1:] == shape[1:] and array.shape[0] < shape[0]
    )


def _create_array(
    group: zarr.Group, level: int, info: VolumeInfo, plane_shape: tuple[int, int], layout: Layout
) -> zarr.Array[Any]:
    shape = info.shape[:-2] + plane_shape
    return group.create_array(
        str(level),
        shape=shape,
        dtype=info.dtype,
        chunks=chunk_shape(shape, layout.level_edge(level)),
        shards=shard_shape(shape, layout, level),
        compressors=ZstdCodec(level=1),
        fill_value=0,
        dimension_names=[axis.name for axis in info.axes],
    )
