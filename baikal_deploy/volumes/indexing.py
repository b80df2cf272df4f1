"""Planes and their regions as indices into arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_deploy.pixels.arrays import Raw, Region
from baikal_deploy.volumes.base import VolumeInfo, WorkItem

EVERYTHING: Region = (slice(None), slice(None))


def contiguous_runs(info: VolumeInfo, planes: Sequence[int]) -> Iterator[range]:
    """Split plane numbers into ranges that are one slice of one leading axis each.

    Args:
        info: the volume.
        planes: their numbers, in the order in which they are wanted.
    """
    first, axis = 0, None
    for end in range(1, len(planes) + 1):
        along = _axis_between(info, planes[end - 1], planes[end]) if end < len(planes) else None
        if along is not None and (axis is None or along == axis):
            axis = along
            continue
        step = planes[first + 1] - planes[first] if end - first > 1 else 1
        yield range(planes[first], planes[end - 1] + 1, step)
        first, axis = end, None


def _axis_between(info: VolumeInfo, plane: int, following: int) -> int | None:
    """The leading axis along which a plane is the next one; None if it is not."""
    step = 1
    for axis in reversed(range(len(info.shape) - 2)):
        size = info.shape[axis]
        if size > 1 and following - plane == step and plane // step % size < size - 1:
            return axis
        step *= size
    return None


def plane_index(info: VolumeInfo, planes: range, region: Region = EVERYTHING) -> tuple[int | slice, ...]:
    """Index of one contiguous run into an array: selects (N, h, w), or (h, w) without leading axes.

    Args:
        info: the volume in the array.
        planes: a run of ``contiguous_runs``.
        region: of the planes.

    Raises:
        VolumeError: there are no such planes.
    """
    first, last = info.position(planes.start), info.position(planes[-1])
    if not first:
        return region
    along = [axis for axis, (a, b) in enumerate(zip(first, last, strict=True)) if a != b]
    axis = along[0] if along else len(first) - 1
    run = slice(first[axis], last[axis] + 1)
    return (*first[:axis], run, *first[axis + 1 :], *region)


def region_shape(info: VolumeInfo, item: WorkItem) -> tuple[int, int]:
    """(height, width), in pixels, of what an item writes."""
    if item.region is None:
        return info.plane_shape
    y, x = item.region
    return y.stop - y.start, x.stop - x.start


def at_level(region: Region, level: int) -> Region:
    """Pixels of a pyramid's level that are made of a region of level 0.

    Args:
        region: of level 0; it starts on a whole pixel of the level.
        level: 0 or above.
    """
    y, x = (slice(span.start >> level, -(-span.stop >> level)) for span in region)
    return y, x


def check_item(path: Path, info: VolumeInfo, items: Sequence[WorkItem], item: WorkItem, planes: Raw) -> None:
    """Refuse planes that do not fit the item of an output, or an item of another one.

    Args:
        path: the output, for messages.
        info, items: of the output.
        item: the item to write.
        planes: its pixels (N, h, w).

    Raises:
        VolumeError: the item is not one of the output's, or shape or pixel type of the planes are others.
    """
    if tuple(items[item.index : item.index + 1]) != (item,):
        raise VolumeError(f"{path}: {item} is none of this volume's items; write one of items")
    expected = (len(item.planes), *region_shape(info, item))
    if planes.shape != expected or planes.dtype != info.dtype:
        where = info.describe_range(item.planes)
        raise VolumeError(
            f"{path}: {where} came as {planes.dtype} {planes.shape}; the output needs {info.dtype} {expected}"
        )
