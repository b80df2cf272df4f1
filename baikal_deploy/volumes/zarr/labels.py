"""Label images of an OME-Zarr image, which its output gets as they are.

Specification: https://ngff.openmicroscopy.org/0.5/#labels-md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import sync_file
from baikal_deploy.host.moves import move, remove_folder
from baikal_deploy.volumes.names import Taken, member, members
from baikal_deploy.volumes.paths import writing
from baikal_deploy.volumes.storage import Codec, Ngff
from baikal_deploy.volumes.urls import Source, Url
from baikal_deploy.volumes.zarr.arrays import NESTED, USUAL_CODEC, compressor
from baikal_deploy.volumes.zarr.patient import PatientFolder
from baikal_deploy.volumes.zarr.reader import open_node
from baikal_deploy.volumes.zarr.versions import IMAGE, ZARR_FORMAT, block_of, in_form

LABELS = "labels"
"""Name of the group of an image that holds its labels."""
_GROWING = "labels.partial"
"""Name of the group of a label image until it is whole: removed by this name, whatever its own name is."""
MOST_CHUNKS = 1_000_000
"""Chunks of an array at a server, at most."""
_CHUNK = re.compile(r"[\d.]+|c\.[\d.]+")


class _Unreadable(Exception):
    """A label image that is not there, damaged, or outside its store."""


def copy_labels(labels: Source, image: Path, ngff: Ngff) -> list[str]:
    """Copy label images in place of what a killed run may have left.

    Chunk by chunk: no more than one chunk, or shard, is held.

    Args:
        labels: the group "labels" of another image.
        image: the group that gets one.
        ngff: version of OME-NGFF that they get.

    Returns:
        Sentences on label images that could not be read, and are left out.

    Raises:
        VolumeError: a full disk and the like.
    """
    target, growing = image / LABELS, image / _GROWING
    copied: list[str] = []
    notes: list[str] = []
    taken = Taken()
    with writing(target, "the labels"):
        _remove(target)
        try:
            names = _names(labels)
        except _Unreadable as error:
            return [_left_out(labels, error)]
        for name in names:
            _remove(growing)
            try:
                source = member(labels, name, "a label image")
                taken.add(labels, str(name), "a label image")
                _copy_label(source, growing, ngff)
            except VolumeError as error:
                notes.append(f"a label image was left out: {error}")
            except _Unreadable as error:
                notes.append(_left_out(source, error))
            else:
                (target / str(name)).parent.mkdir(parents=True, exist_ok=True)
                move(growing, target / str(name))
                copied.append(str(name))
        _remove(growing)
        attributes = in_form({LABELS: copied}, (LABELS,), ngff)
        zarr.create_group(PatientFolder(target), attributes=attributes, zarr_format=ZARR_FORMAT[ngff])
        for file in target.rglob("*"):
            if file.is_file():
                sync_file(file, image)
    return notes


def _remove(made: Path) -> None:
    """Remove a folder that this module makes, of a name of its own."""
    if made.exists():
        remove_folder(made)


def _left_out(path: Source, error: _Unreadable) -> str:
    return f"label image {path} could not be read and was left out ({error})"


def _names(labels: Source) -> list[object]:
    """Names of label images that a group "labels" lists, as it has them."""
    try:
        group = member(labels.parent, LABELS, "the labels")
        attributes: dict[str, Any] = open_node(group).attrs.asdict()
        listed = block_of(attributes)[LABELS]
        assert isinstance(listed, list)
        return listed
    except Exception as error:  # damaged metadata ends in anything
        raise _Unreadable(_reason(error)) from error


def _copy_label(source: Source, target: Path, ngff: Ngff) -> None:
    try:
        group = open_node(source)
        assert isinstance(group, zarr.Group)
        attributes = _in_form(group.attrs.asdict(), ngff)
        multiscale = block_of(attributes)["multiscales"][0]
        axes = [str(axis["name"]) for axis in multiscale["axes"]]
        paths = members(source, [dataset["path"] for dataset in multiscale["datasets"]], "an array")
        levels = {path: open_node(source / path) for path in paths}
    except Exception as error:  # damaged metadata ends in anything
        raise _Unreadable(_reason(error)) from error
    zarr.create_group(PatientFolder(target), attributes=attributes, zarr_format=ZARR_FORMAT[ngff])
    for path, array in levels.items():
        if not isinstance(array, zarr.Array):
            raise _Unreadable(f"{path} is not an array")
        _copy_array(source / path, array, target / path, axes, ngff)


def _in_form(attributes: Mapping[str, Any], ngff: Ngff) -> dict[str, Any]:
    """Attributes of a label image in the form of a version of NGFF; what NGFF does not know stays."""
    if ngff == "0.5" and "ome" in attributes:
        return dict(attributes)
    rest = {key: value for key, value in attributes.items() if key not in (*IMAGE, "ome")}
    return {**in_form(attributes, IMAGE, ngff), **rest}


def _copy_array(place: Source, source: zarr.Array[Any], path: Path, axes: list[str], ngff: Ngff) -> None:
    options: dict[str, Any] = {"dimension_names": axes, "shards": source.shards}
    if ngff == "0.4":  # has neither
        options = {"chunk_key_encoding": NESTED}
    try:
        target = zarr.create_array(
            PatientFolder(path),
            shape=source.shape,
            dtype=np.dtype(source.dtype).newbyteorder("="),
            chunks=source.chunks,
            compressors=compressor(Codec.of(USUAL_CODEC), ngff),
            fill_value=source.fill_value,
            zarr_format=ZARR_FORMAT[ngff],
            **options,
        )
    except (LookupError, TypeError, ValueError) as error:  # axes or pixels that no array can have
        raise _Unreadable(_reason(error)) from error
    for region in _regions(place, source):
        try:
            pixels = np.asarray(source[region])
        except MemoryError:
            raise
        except Exception as error:  # every codec raises exceptions of its own
            raise _Unreadable(_reason(error)) from error
        target[region] = pixels


def _regions(place: Source, array: zarr.Array[Any]) -> Iterator[tuple[slice, ...]]:
    """Regions of the chunks, or shards, of an array that may be there: all others are fill value."""
    edges = array.shards or array.chunks
    grid = [-(-size // edge) for size, edge in zip(array.shape, edges, strict=True)]
    for corner in _corners(place, array, grid):
        yield tuple(slice(at * edge, (at + 1) * edge) for at, edge in zip(corner, edges, strict=True))


def _corners(place: Source, array: zarr.Array[Any], grid: list[int]) -> Iterator[tuple[int, ...]]:
    """Places of these in the grid of chunks, by the files that are there.

    Servers list none, so there all are asked for.
    """
    if isinstance(place, Url):
        if prod(grid) > MOST_CHUNKS:
            raise _Unreadable(f"it has {prod(grid)} chunks, more than can be asked for one by one")
        yield from product(*map(range, grid))
        return
    for file in (file for file in place.rglob("*") if _CHUNK.fullmatch(file.name)):
        key = file.relative_to(place).as_posix()
        corner = tuple(map(int, re.findall(r"\d+", key)))
        inside = len(corner) == len(grid) and all(at < count for at, count in zip(corner, grid, strict=True))
        if inside and array.metadata.encode_chunk_key(corner) == key and not file.is_dir():
            yield corner


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
