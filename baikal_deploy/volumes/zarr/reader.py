"""Reads volumes in Zarr: arrays (versions 2 and 3) and OME-Zarr images (0.4 and 0.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.axes import plain_axes, require_axes
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.indexing import contiguous_runs, plane_index
from baikal_deploy.volumes.names import member, members
from baikal_deploy.volumes.paths import METADATA_FILES, is_zarr, translated
from baikal_deploy.volumes.urls import Source, Url, explained, stamp
from baikal_deploy.volumes.zarr.collections import (
    choose_series,
    field_names,
    is_plate,
    is_series_group,
    refuse_plate,
    series_paths,
    well_names,
)
from baikal_deploy.volumes.zarr.guarded import open_guarded
from baikal_deploy.volumes.zarr.metadata import image_block, read_image

Array = zarr.Array[Any]

PLATE_DEPTH = 3  # images of a plate lie in row/column/field
MAX_CHOICES = 4


def open_volume(path: Source, series: int | None = None, axes: str | None = None) -> ZarrVolume:
    """Open a Zarr array, or level 0 of an OME-Zarr image (0.4 or 0.5).

    An array without NGFF metadata has scale 1 and the axes that ``plain_axes`` gives it.

    Args:
        path: the array or group.
        series: which image of a store in bioformats2raw's layout; None: the only one.
        axes: see ``open_input``.

    Raises:
        VolumeError: nothing there, not Zarr, no single image, or one that is not supported.
    """
    with translated(path, "looked at"):
        return _open_volume(path, series, axes)


def _open_volume(path: Source, series: int | None, axes: str | None) -> ZarrVolume:
    _require_zarr(path)
    node = open_node(path)
    attributes = node.attrs.asdict()
    if isinstance(node, zarr.Group) and image_block(attributes) is None:
        return _open_volume(_member(path, attributes, series), None, axes)
    if series:
        raise VolumeError(f"{path}: holds one image, number 0, and no series {series}; leave out --series")
    if isinstance(node, zarr.Array):
        return ZarrVolume(_plain_info(path, node, axes), node, path)
    image = _image(path, node)
    require_axes(path, "".join(axis.name for axis in image.info.axes), axes)
    return image


def _member(path: Source, attributes: dict[str, Any], series: int | None) -> Source:
    """Image to take of a group that is not one itself."""
    if is_plate(attributes):
        raise refuse_plate(path, plate_fields(path, attributes)[0])
    if not is_series_group(attributes):
        raise VolumeError(f"{path}: is a group, but not an image; {_suggest(path, PLATE_DEPTH)}")
    return choose_series(path, list_series(path), series)


def list_series(path: Source) -> list[Source]:
    """Images of a store in bioformats2raw's layout, in order.

    Raises:
        VolumeError: damaged metadata, or names that do not stand for images in the store.
    """
    ome = member(path, "OME", "a group")
    return series_paths(path, attributes_of(ome) if is_zarr(ome) else {})


def plate_fields(path: Source, attributes: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Images of a plate, by paths in it; of a well that cannot be looked into, the well itself.

    Args:
        path: the plate.
        attributes: its attributes.

    Returns:
        The images; and the wells that are listed, but are not there.

    Raises:
        VolumeError: damaged metadata, or names that do not stand for images in the plate.
    """
    try:
        wells = well_names(attributes)
    except (LookupError, TypeError) as error:
        raise VolumeError(
            f"{path}: its metadata of the plate is damaged ({_reason(error)}); give the path of a field"
        ) from error
    names = members(path, wells, "a well")
    there = {well: is_zarr(path / well) or (path / well).exists() for well in names}
    fields = [field for well in names if there[well] for field in _well_fields(path, well)]
    return fields, [well for well in names if not there[well]]


def _well_fields(path: Source, well: str) -> list[str]:
    try:
        fields = field_names(attributes_of(path / well))
    except (LookupError, TypeError, VolumeError):
        return [well]
    return [f"{well}/{field}" for field in members(path / well, fields, "a field")]


def attributes_of(path: Source) -> dict[str, Any]:
    """Attributes of an array or group.

    Raises:
        VolumeError: it is not there, cannot be reached, or is damaged.
    """
    _require_zarr(path)
    return open_node(path).attrs.asdict()


def _image(path: Source, group: zarr.Group) -> ZarrVolume:
    block = image_block(group.attrs.asdict())
    assert block is not None
    metadata = read_image(path, block)
    where = path / metadata.dataset
    array = open_node(where) if is_zarr(where) else None
    if not isinstance(array, zarr.Array):
        raise VolumeError(
            f"{path}: its metadata lists an array '{metadata.dataset}', but there is none; "
            f"copy the image again"
        )
    geometry = (metadata.scale, metadata.translation, metadata.name, metadata.omero)
    info = VolumeInfo(path, metadata.axes, array.shape, _native(array), *geometry, array.chunks)
    return ZarrVolume(info, array, where)


def _require_zarr(path: Source) -> None:
    if isinstance(path, Url):
        _require_zarr_at(path)
        return
    if not path.exists():
        raise VolumeError(f"{path}: does not exist; check the path")
    if path.is_file() and is_zarr(path.parent):
        raise VolumeError(f"{path}: is a file inside a Zarr store; give the folder {path.parent}")
    if path.is_file():
        raise VolumeError(
            f"{path}: is a file of a format that cannot be read, only TIFF, PNG, JPEG, CZI and ND2 files, "
            f"NDTiff folders and Zarr stores can; convert it to OME-TIFF or OME-Zarr (bfconvert, "
            f"bioformats2raw)"
        )
    if not is_zarr(path):
        raise VolumeError(
            f"{path}: is a folder, but not a Zarr store (it has no zarr.json, .zarray or .zgroup); "
            f"{_suggest(path, depth=1)}"
        )


def _require_zarr_at(url: Url) -> None:
    if is_zarr(url):
        return
    if url.is_file():
        raise VolumeError(f"{url}: is a file, and only Zarr stores are read from URLs: copy it here first")
    raise VolumeError(f"{url}: {url.absence()}; check the address")


def open_node(path: Source) -> Array | zarr.Group:
    """Open an array or group.

    Raises:
        VolumeError: it cannot be reached, its metadata is damaged, or its chunks do not fit the memory.
    """
    try:
        return open_guarded(path)
    except VolumeError:
        raise
    except Exception as error:  # damaged metadata ends in anything from KeyError to JSONDecodeError
        raise explained(path, error) or VolumeError(
            f"{path}: its Zarr metadata cannot be understood ({_reason(error)}); "
            f"restore the store, or install the codec it names"
        ) from error


def _suggest(path: Source, depth: int) -> str:
    found = [str(choice) for choice in islice(_images(path, depth), MAX_CHOICES)]
    if not found:
        return "check the path"
    others = f" (also {', '.join(found[1:])})" if found[1:] else ""
    return f"choose one inside it, such as {found[0]}{others}"


def _images(path: Source, depth: int) -> Iterator[Source]:
    """Images and plain arrays below a folder."""
    for child in sorted((entry for entry in path.iterdir() if entry.is_dir()), key=str):
        node = open_node(child) if is_zarr(child) else None
        if isinstance(node, zarr.Array) or (node is not None and image_block(node.attrs.asdict())):
            yield child
        elif depth > 1:
            yield from _images(child, depth - 1)


def _plain_info(path: Source, array: Array, asked: str | None) -> VolumeInfo:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    axes = plain_axes(path, names if isinstance(names, list | tuple) else None, array.ndim, asked)
    ones, zeros = (1.0,) * array.ndim, (0.0,) * array.ndim
    return VolumeInfo(path, axes, array.shape, _native(array), ones, zeros, chunk=array.chunks)


def _native(array: Array) -> np.dtype[Any]:
    return np.dtype(array.dtype).newbyteorder("=")


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


@dataclass(frozen=True)
class ZarrVolume:
    """Volume in a Zarr array; made by ``open_volume``. Chunks that are missing are fill value.

    Attributes:
        array: level 0.
        path: the array, for messages and for looking at its files.
        whole: whether all files of its pixels were there, so that one that is missing is lost.
    """

    info: VolumeInfo
    array: Array
    path: Source
    whole: bool = False

    @property
    def metadata_files(self) -> list[Source]:
        """Files that tell, by size and time, that the volume was written again."""
        folders = dict.fromkeys([self.info.path, self.path])
        return [folder / name for folder in folders for name in METADATA_FILES if (folder / name).is_file()]

    @property
    def labels(self) -> Source | None:
        """Group with the image's label images; None without any. See ``open.HasLabels``."""
        group = self.info.path / "labels"
        return group if self.path != self.info.path and is_zarr(group) else None

    def read(self, planes: Sequence[int]) -> Raw:
        """Planes as (N, H, W), in ``info.dtype``; see ``Volume.read``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """
        shape, done = (len(planes), *self.info.plane_shape), 0
        runs = list(contiguous_runs(self.info, planes))
        if len(runs) == 1:  # an item mostly is: it need not be copied
            pixels = self._get(runs[0], plane_index(self.info, runs[0]))
            return pixels.astype(self.info.dtype, copy=False).reshape(shape)
        out = np.empty(shape, self.info.dtype)
        for run in runs:
            out[done : done + len(run)] = self._get(run, plane_index(self.info, run))
            done += len(run)
        return out

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        """Window (h, w) of one plane, in ``info.dtype``; see ``Volume.read_window``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """
        window = self._get(range(plane, plane + 1), (*self.info.position(plane), y, x))
        return window.astype(self.info.dtype, copy=False)

    def _get(self, planes: range, index: tuple[int | slice, ...]) -> Raw:
        try:
            self._refuse_lost_files(index)
            return np.asarray(self.array[index])
        except MemoryError:
            raise
        except Exception as error:  # every codec raises exceptions of its own
            where = self.info.describe_range(planes)
            if (lost := explained(self.path, error)) is not None:
                raise VolumeError(f"{lost}; {where} could not be read") from error
            raise VolumeError(
                f"{self.path}: {where} cannot be read ({_reason(error)}); "
                f"the stored data is damaged: copy the volume again, or let baikal-run continue without it "
                f"(--on-error keep-raw)"
            ) from error

    def _refuse_lost_files(self, index: tuple[int | slice, ...]) -> None:
        """Refuse to read where a file is missing, or a shard has no bytes, as an interrupted copy leaves it.

        zarr-python reads zeros there.
        """
        if self.array.shards is None and not self.whole:
            return
        spans = [
            range(*i.indices(size)) if isinstance(i, slice) else range(i, i + 1)
            for i, size in zip(index, self.array.shape, strict=True)
        ]
        sizes = zip(spans, self.array.shards or self.array.chunks, strict=True)
        grid = [range(s.start // edge, -(-s.stop // edge)) for s, edge in sizes]
        for place in product(*grid):
            key = self.array.metadata.encode_chunk_key(place)
            found = stamp(self.path / key)
            if found is None and self.whole:
                raise ValueError(f"file {key} is missing")
            if found is not None and not found[0]:
                raise ValueError(f"shard {key} is empty")
