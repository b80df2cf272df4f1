"""Reads volumes in Zarr: arrays (versions 2 and 3) and OME-Zarr images (0.4 and 0.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.axes import plain_axes
from baikal_deploy.volumes.base import Pixels, VolumeInfo
from baikal_deploy.volumes.collections import (
    MAX_LISTED,
    choose_series,
    is_plate,
    is_series_group,
    refuse_plate,
    series_paths,
)
from baikal_deploy.volumes.layout import contiguous_runs, plane_index
from baikal_deploy.volumes.ngff import image_block, read_image
from baikal_deploy.volumes.stores import is_zarr

Array = zarr.Array[Any]

PLATE_DEPTH = 3  # images of a plate lie in row/column/field
MAX_CHOICES = 4
METADATA_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def open_volume(path: Path, series: int | None = None) -> ZarrVolume:
    """Opens a Zarr array, or level 0 of an OME-Zarr image (0.4 or 0.5).

    An array without NGFF metadata has scale 1 and the axes that ``plain_axes`` gives it.

    Args:
        series: which image of a store in bioformats2raw's layout; None: the only one.

    Raises:
        VolumeError: nothing there, no Zarr, no single image, or one that is not supported.
    """
    try:
        return _open_volume(path, series)
    except OSError as error:
        raise VolumeError(
            f"{path}: cannot be looked at: {error.strerror or error}; check the path and its permissions"
        ) from error


def _open_volume(path: Path, series: int | None) -> ZarrVolume:
    _require_zarr(path)
    node = _open(path)
    attributes = node.attrs.asdict()
    if isinstance(node, zarr.Group) and image_block(attributes) is None:
        return _open_volume(_member(path, attributes, series), None)
    if series:
        raise VolumeError(f"{path}: holds one image, number 0, and no series {series}; leave out --series")
    return (
        ZarrVolume(_plain_info(path, node), node, path)
        if isinstance(node, zarr.Array)
        else _image(path, node)
    )


def _member(path: Path, attributes: dict[str, Any], series: int | None) -> Path:
    """The image to take of a group that is none itself."""
    if is_plate(attributes):
        raise refuse_plate(path, list(islice(_images(path, PLATE_DEPTH), MAX_LISTED + 1)))
    if not is_series_group(attributes):
        raise VolumeError(f"{path}: is a group, but no image; {_suggest(path, PLATE_DEPTH)}")
    notes = _open(path / "OME").attrs.asdict() if is_zarr(path / "OME") else {}
    return choose_series(path, series_paths(path, notes), series)


def _image(path: Path, group: zarr.Group) -> ZarrVolume:
    block = image_block(group.attrs.asdict())
    assert block is not None
    metadata = read_image(path, block)
    where = path / metadata.dataset
    array = _open(where) if is_zarr(where) else None
    if not isinstance(array, zarr.Array):
        raise VolumeError(
            f"{path}: its metadata lists an array '{metadata.dataset}', but there is none; "
            f"copy the image again"
        )
    geometry = (metadata.scale, metadata.translation, metadata.name, metadata.omero)
    info = VolumeInfo(path, metadata.axes, array.shape, _native(array), *geometry)
    return ZarrVolume(info, array, where)


def _require_zarr(path: Path) -> None:
    if not path.exists():
        raise VolumeError(f"{path}: does not exist; check the path")
    if path.is_file() and is_zarr(path.parent):
        raise VolumeError(f"{path}: is a file inside a Zarr store; give the folder {path.parent}")
    if path.is_file():
        raise VolumeError(
            f"{path}: is a file of a format that cannot be read, only TIFF files and Zarr stores can; "
            f"convert it to OME-TIFF or OME-Zarr (bfconvert, bioformats2raw)"
        )
    if not is_zarr(path):
        raise VolumeError(
            f"{path}: is a folder, but no Zarr store (it has no zarr.json, .zarray or .zgroup); "
            f"{_suggest(path, depth=1)}"
        )


def _open(path: Path) -> Array | zarr.Group:
    try:
        # Consolidated metadata is a copy, and often a stale one.
        return zarr.open(path, mode="r", use_consolidated=False)
    except Exception as error:  # damaged metadata ends in anything from KeyError to JSONDecodeError
        raise VolumeError(
            f"{path}: its Zarr metadata cannot be understood ({_reason(error)}); "
            f"restore the store, or install the codec it names"
        ) from error


def _suggest(path: Path, depth: int) -> str:
    found = [str(choice) for choice in islice(_images(path, depth), MAX_CHOICES)]
    if not found:
        return "check the path"
    others = f" (also {', '.join(found[1:])})" if found[1:] else ""
    return f"choose one inside it, such as {found[0]}{others}"


def _images(path: Path, depth: int) -> Iterator[Path]:
    """Images and plain arrays below a folder."""
    for child in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        node = _open(child) if is_zarr(child) else None
        if isinstance(node, zarr.Array) or (node is not None and image_block(node.attrs.asdict())):
            yield child
        elif depth > 1:
            yield from _images(child, depth - 1)


def _plain_info(path: Path, array: Array) -> VolumeInfo:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    axes = plain_axes(path, names if isinstance(names, list | tuple) else None, array.ndim)
    return VolumeInfo(path, axes, array.shape, _native(array), (1.0,) * array.ndim, (0.0,) * array.ndim)


def _native(array: Array) -> np.dtype[Any]:
    return np.dtype(array.dtype).newbyteorder("=")


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


@dataclass(frozen=True)
class ZarrVolume:
    """A Volume in a Zarr array; made by ``open_volume``. Chunks that are missing are fill value.

    Attributes:
        path: the array, for messages and for looking at its files.
    """

    info: VolumeInfo
    array: Array
    path: Path

    @property
    def metadata_files(self) -> list[Path]:
        """See ``Volume.metadata_files``."""
        folders = dict.fromkeys([self.info.path, self.path])
        return [folder / name for folder in folders for name in METADATA_FILES if (folder / name).is_file()]

    def read(self, planes: Sequence[int]) -> Pixels:
        """See ``Volume.read``."""
        out = np.empty((len(planes), *self.info.plane_shape), self.info.dtype)
        done = 0
        for run in contiguous_runs(self.info, planes):
            out[done : done + len(run)] = self._get(run, plane_index(self.info, run))
            done += len(run)
        return out

    def read_window(self, plane: int, y: slice, x: slice) -> Pixels:
        """See ``Volume.read_window``."""
        window = self._get(range(plane, plane + 1), (*self.info.position(plane), y, x))
        return window.astype(self.info.dtype, copy=False)

    def _get(self, planes: range, index: tuple[int | slice, ...]) -> Pixels:
        try:
            self._refuse_empty_shards(index)
            return np.asarray(self.array[index])
        except MemoryError:
            raise
        except Exception as error:  # every codec raises exceptions of its own
            where = self.info.describe_range(planes)
            raise VolumeError(
                f"{self.path}: {where} cannot be read ({_reason(error)}); "
                f"the stored data is damaged: copy the volume again"
            ) from error

    def _refuse_empty_shards(self, index: tuple[int | slice, ...]) -> None:
        """zarr-python takes a shard file of no bytes, as an interrupted copy leaves it, for a missing
        one, and reads zeros."""
        if self.array.shards is None:
            return
        spans = [
            range(*i.indices(size)) if isinstance(i, slice) else range(i, i + 1)
            for i, size in zip(index, self.array.shape, strict=True)
        ]
        sizes = zip(spans, self.array.shards, strict=True)
        grid = [range(s.start // edge, -(-s.stop // edge)) for s, edge in sizes]
        for shard in product(*grid):
            file = self.path / self.array.metadata.encode_chunk_key(shard)
            if file.is_file() and not file.stat().st_size:
                raise ValueError(f"shard {file.relative_to(self.path)} is empty")
