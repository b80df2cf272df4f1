"""The output's layout: chunks, shards, and the work items that go with them.

A shard holds whole planes, consecutive on the last leading axis, and is written once, by one
work item: writing a part of a shard would read and rewrite all of it, and two writers in one shard
would lose data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Pixels, VolumeInfo, WorkItem

SHARD_BYTES = 64 * 2**20
MAX_CHUNK = 1024


def _run_length(info: VolumeInfo) -> int:
    """How many consecutive planes may share a shard: those of one row on the last leading axis,
    but never two channels, which are normalised apart."""
    return 1 if len(info.shape) == 2 or info.axes[-3].name == "c" else info.shape[-3]


def planes_per_shard(info: VolumeInfo, shard_bytes: int = SHARD_BYTES) -> int:
    """As many planes as fit ``shard_bytes``, at least one, evenly spread over the shards of a row."""
    height, width = info.plane_shape
    fitting = max(1, shard_bytes // (height * width * info.dtype.itemsize))
    run = _run_length(info)
    return -(-run // -(-run // fitting))


def plan_items(info: VolumeInfo, planes_per_shard: int) -> list[WorkItem]:
    """The work items of a volume: every plane once, in order."""
    run = _run_length(info)
    spans = [
        range(first, min(first + planes_per_shard, row + run))
        for row in range(0, info.num_planes, run)
        for first in range(row, row + run, planes_per_shard)
    ]
    return [WorkItem(index, planes) for index, planes in enumerate(spans)]


def chunk_edge(size: int) -> int:
    """Chunk edge along y or x: the whole axis up to 1024, else 512 to 1024 with little to spare."""
    return -(-size // -(-size // MAX_CHUNK))


def chunk_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Chunk of an array: a part of one plane."""
    return (*(1 for _ in shape[:-2]), chunk_edge(shape[-2]), chunk_edge(shape[-1]))


def shard_shape(shape: Sequence[int], planes: int) -> tuple[int, ...]:
    """Shard of an array: ``planes`` whole planes, rounded up to whole chunks.

    Args:
        planes: consecutive planes on the last leading axis; ignored where there is none.
    """
    chunk = chunk_shape(shape)
    edges = tuple(-(-shape[axis] // chunk[axis]) * chunk[axis] for axis in (-2, -1))
    leading = (*(1 for _ in shape[:-3]), planes) if len(shape) > 2 else ()
    return leading + edges


def contiguous_runs(info: VolumeInfo, planes: Sequence[int]) -> Iterator[range]:
    """Splits plane numbers into ranges that are one slice of the last leading axis each."""
    row = info.shape[-3] if len(info.shape) > 2 else 1
    first = 0
    for end in range(1, len(planes) + 1):
        if end == len(planes) or planes[end] != planes[end - 1] + 1 or planes[end] % row == 0:
            yield range(planes[first], planes[end - 1] + 1)
            first = end


def plane_index(info: VolumeInfo, planes: range) -> tuple[int | slice, ...]:
    """Index of one contiguous run into an array: selects (N, H, W), or (H, W) where there are no
    leading axes.

    Raises:
        VolumeError: there are no such planes.
    """
    position, whole = info.position(planes.start), slice(None)
    if not position:
        return (whole, whole)
    *leading, first = position
    return (*leading, slice(first, first + len(planes)), whole, whole)


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
    expected = (len(item.planes), *info.plane_shape)
    if planes.shape != expected or planes.dtype != info.dtype:
        where = info.describe_range(item.planes)
        raise VolumeError(
            f"{path}: {where} came as {planes.dtype} {planes.shape}; the output needs {info.dtype} {expected}"
        )
