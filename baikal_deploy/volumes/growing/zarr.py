"""Zarr arrays that another process is writing, along the first axis: what their metadata says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.growing.base import CannotFollow, Seen
from baikal_deploy.volumes.growing.shards import Store, metadata_of
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.urls import stamp
from baikal_deploy.volumes.zarr.collections import is_plate, is_series_group
from baikal_deploy.volumes.zarr.reader import ZarrVolume, attributes_of, list_series, open_volume

FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
"""Names of all files of metadata."""


def look_at_zarr(path: Path, series: int | None, before: Seen, final: bool) -> Seen:
    """Look once at a Zarr store; see ``Look``."""
    opened = _Opened.at(path, series, before.opened, final)
    if opened is None:
        return Seen(None)
    root, volume, store = opened.root, opened.volume, opened.store
    steps = store.steps(before.steps)
    next_files = [stamp(store.file(place)) for place in store.places(steps // store.span)]
    closed = store.by_acquire_zarr and steps == store.length and bool(steps % store.span)
    shape = volume.info.shape
    return Seen(
        replace(volume, info=replace(volume.info, shape=(steps, *shape[1:])), whole=True) if steps else None,
        stamp=[steps, stamp(store.path / "zarr.json"), next_files],
        ended=closed and root == path,
        rest=steps < store.length or (steps % store.span == 0 and any(next_files)),
        lacks_metadata=volume.path == volume.info.path,
        opened=opened,
    )


@dataclass(frozen=True)
class _Opened:
    """What the metadata of a store says.

    Attributes:
        root: folder of the image.
        volume: the image.
        store: the files of its array.
        stamps: of all files that were read, as they were before; None: nobody had looked.
    """

    root: Path
    volume: ZarrVolume
    store: Store
    stamps: Mapping[Path, Any] | None

    @classmethod
    def at(cls, path: Path, series: int | None, before: _Opened | None, final: bool) -> _Opened | None:
        """What the metadata says now, which is read only if it has changed, or at the end; None: nothing."""
        files = [] if before is None else list(before._files(path))
        now = {file: _stamp(file) for file in files}
        if before is not None and before.stamps == now and not final:
            return before
        root = _root(path)
        if not is_zarr(root) or (series and root != path):
            return None
        volume = _open(root, series)
        assert isinstance(volume.path, Path)
        if root != path:
            _check_alone(path, volume)
        found = cls(root, volume, Store.of(volume, volume.path), now)
        return found if list(found._files(path)) == files else replace(found, stamps=None)

    def _files(self, path: Path) -> Iterator[Path]:
        """Files that decide what the metadata says; some may not be there yet."""
        place = self.store.path
        between = takewhile(lambda folder: folder != path, (place, *place.parents))
        for folder in (path, path / "0", path / "1", path / "OME", *between):
            yield from (folder / name for name in FILES)


def _stamp(file: Path) -> Any:
    """What changes when a file is written or replaced; None where there is none."""
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _root(path: Path) -> Path:
    """Folder of the image.

    acquire-zarr writes the image's metadata when it is closed; and of an array with a key, none.
    """
    found = metadata_of(path)
    is_bare = found is not None and found.get("node_type") == "group" and not found.get("attributes")
    array = path / "0"
    return array if not is_zarr(path) or (is_bare and is_zarr(array)) else path


def _check_alone(path: Path, volume: ZarrVolume) -> None:
    """Refuse several arrays: array 1 is not a level of a pyramid where it is as large as array 0."""
    other = path / "1"
    if is_zarr(other) and open_volume(other).info.shape[1:] == volume.info.shape[1:]:
        raise CannotFollow(f"{path}: holds several arrays; give one of them, such as {volume.path}")


def _open(path: Path, series: int | None) -> ZarrVolume:
    try:
        return open_volume(path, series)
    except VolumeError as error:
        attributes = attributes_of(path)
        several = is_series_group(attributes) and series is None and len(list_series(path)) > 1
        if several or is_plate(attributes):
            raise CannotFollow(str(error)) from error
        raise
