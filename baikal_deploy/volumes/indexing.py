"""Planes and their regions as indices into arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Pixels, Region, VolumeInfo, WorkItem

EVERYTHING: Region = (slice(None), slice(None))


def contiguous_runs(info: VolumeInfo, planes: Sequence[int]) -> Iterator[range]:
    """Splits plane numbers into ranges that are one slice of the last leading axis each."""
    row = info.shape[-3] if len(info.shape) > 2 else 1
    first = 0
    for end in range(1, len(planes) + 1):
        if end == len(planes) or planes[end] != planes[end - 1] + 1 or planes[end] % row == 0:
            yield range(planes[first], planes[end - 1] + 1)
            first = end


def plane_index(info: VolumeInfo, planes: range, region: Region = EVERYTHING) -> tuple[int | slice, ...]:
    """Index of one contiguous run into an array: selects (N, h, w), or (h, w) where there are no
    leading axes.

    Raises:
        VolumeError: there are no such planes.
    """
    position = info.position(planes.start)
    if not position:
        return region
    *leading, first = position
    return (*leading, slice(first, first + len(planes)), *region)


def region_shape(info: VolumeInfo, item: WorkItem) -> tuple[int, int]:
    """(height, width) of what an item writes."""
    if item.region is None:
        return info.plane_shape
    y, x = item.region
    return y.stop - y.start, x.stop - x.start


def at_level(region: Region, level: int) -> Region:
    """The pixels of a pyramid's level that are made of a region of level 0, which starts on one of them."""
    y, x = (slice(span.start >> level, -(-span.stop >> level)) for span in region)
    return y, x


def check_item(
    path: Path, info: VolumeInfo, items: Sequence[WorkItem], item: WorkItem, planes: Pixels
) -> None:
    """Refuses planes that do not fit the item of an output, or an item of another one.

    Args:
        path: the output, for messages.
        info, items: of the output.

    Raises:
        VolumeError: so it is.
    """
    if tuple(items[item.index : item.index + 1]) != (item,):
        raise VolumeError(f"{path}: {item} is none of this volume's items; write one of items")
    expected = (len(item.planes), *region_shape(info, item))
    if planes.shape != expected or planes.dtype != info.dtype:
        where = info.describe_range(item.planes)
        raise VolumeError(
            f"{path}: {where} came as {planes.dtype} {planes.shape}; the output needs {info.dtype} {expected}"
        )
