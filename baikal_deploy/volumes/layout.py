"""The output's layout: chunks, shards, and the work items that go with them.

A shard holds planes that are consecutive along one leading axis, whole or, where they are too large for the
memory, one region of them. It is written once, by one work item: writing a part of a shard would read and
rewrite all of it, and two writers in one shard would lose data. Items are made when they are asked for, as
there may be millions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Generic, TypeVar, overload

from baikal_deploy.pixels.arrays import Region
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.pyramid import pyramid_levels

SHARD_BYTES = 64 * 2**20
MAX_CHUNK = 1024
EDGES = (8192, 4096, 2048, 1024, 512, 256)
"""Sides of regions, in pixels: powers of two, whose halves are whole pixels of the pyramid's levels."""
REGION_CHUNK = 512
LEAST_CHUNK = 256
"""Side, in pixels, below which a level is not cut where level 0 is: its shards would be many and tiny."""


@dataclass(frozen=True)
class Layout:
    """Cut of a volume into items, and so of its output into shards.

    Attributes:
        planes: consecutive planes of an item, as far as there are so many that may share a shard.
        edge: side of the square regions that larger planes are cut into; None: they stay whole.
        axis: index of the leading axis along which they are consecutive; -1: the last one.
    """

    planes: int
    edge: int | None = None
    axis: int = -1

    def record(self) -> dict[str, Any]:
        """Fields by name, as JSON holds them."""
        return asdict(self)

    def level_edge(self, level: int) -> int | None:
        """Side of a shard of a level along an axis that is longer, in pixels; None: the axis stays whole.

        Args:
            level: 0 or above.
        """
        if self.edge is None or not self.has_part(level):
            return self.edge
        return self.edge >> level

    def has_part(self, level: int) -> bool:
        """True if an item has a shard in a level, which is written with it.

        Other levels are made of the one above when that is complete.

        Args:
            level: 0 or above.
        """
        return self.edge is None or level == 0 or self.edge >> level >= LEAST_CHUNK


def default_layout(info: VolumeInfo, shard_bytes: int = SHARD_BYTES) -> Layout:
    """Layout of as many whole planes as fit a shard, at least one, evenly spread over the shards of a row.

    Args:
        info: the volume.
        shard_bytes: bytes of a shard's pixels.
    """
    height, width = info.plane_shape
    return _spread(info, shard_bytes // (height * width * info.dtype.itemsize))


def layouts(info: VolumeInfo, shard_bytes: int = SHARD_BYTES) -> Iterator[Layout]:
    """Default layout of a volume, and smaller ones: of half as many planes each, and then of regions.

    Args:
        info: the volume.
        shard_bytes: bytes of a shard's pixels in the default layout, at most, as far as one plane is less.
    """
    layout = default_layout(info, shard_bytes)
    yield layout
    while layout.planes > 1:
        layout = _spread(info, layout.planes // 2)
        yield layout
    for edge in EDGES:
        if edge < max(info.plane_shape):
            yield Layout(1, edge)


def _spread(info: VolumeInfo, fitting: int) -> Layout:
    axis = _row_axis(info)
    row = 1 if axis is None else info.shape[axis]
    planes = -(-row // -(-row // max(1, fitting)))
    return Layout(planes, axis=-1 if axis is None or axis == len(info.shape) - 3 else axis)


def _row_axis(info: VolumeInfo) -> int | None:
    """Leading axis along which planes may share a shard.

    It is the longest, unless the input's chunks hold several planes along another one, which would be decoded
    again and again. It is never that of the channels, which are normalised apart.
    """
    chunk = info.chunk or (1,) * len(info.shape)
    along = [
        (min(chunk[i], info.shape[i]), info.shape[i], i)
        for i, axis in enumerate(info.axes[:-2])
        if axis.name != "c"
    ]
    return max(along)[2] if along else None


Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Pieces(Sequence[Piece], Generic[Piece]):
    """Sequence whose members are made when they are asked for.

    Attributes:
        length: how many there are.
        make: gives the one of an index.
    """

    length: int
    make: Callable[[int], Piece]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Piece: ...
    @overload
    def __getitem__(self, index: slice) -> list[Piece]: ...
    def __getitem__(self, index: int | slice) -> Piece | list[Piece]:
        numbers = range(self.length)[index]
        return self.make(numbers) if isinstance(numbers, int) else [self.make(number) for number in numbers]


def plan_items(info: VolumeInfo, layout: Layout) -> Sequence[WorkItem]:
    """Work items of a volume: every plane once, shard by shard in C order, and region by region.

    When the first axis grows by whole shards, those that were there keep their numbers.

    Args:
        info: the volume.
        layout: its cut.
    """
    regions: Sequence[Region | None] = _regions(info.plane_shape, layout.edge) or [None]
    spans = _spans(info, layout)

    def make(index: int) -> WorkItem:
        span, region = divmod(index, len(regions))
        return WorkItem(index, spans[span], regions[region])

    return Pieces(len(spans) * len(regions), make)


def plan_reductions(info: VolumeInfo, layout: Layout) -> Sequence[Reduction]:
    """Shards of levels that items have no part in, from the largest level to the smallest.

    Args:
        info: the volume.
        layout: its cut.
    """
    first, spans = len(plan_items(info, layout)), _spans(info, layout)
    levels = [
        (number, _regions(level.plane_shape, layout.edge) or [_whole(level.plane_shape)])
        for number, level in enumerate(pyramid_levels(info.plane_shape))
        if not layout.has_part(number)
    ]

    def make(index: int) -> Reduction:
        left = index
        for number, regions in levels:
            if left < len(spans) * len(regions):
                span, region = divmod(left, len(regions))
                return Reduction(first + index, number, spans[span], regions[region])
            left -= len(spans) * len(regions)
        raise IndexError(index)

    return Pieces(len(spans) * sum(len(regions) for _, regions in levels), make)


def _spans(info: VolumeInfo, layout: Layout) -> Sequence[range]:
    """Planes of each shard, whole."""
    sizes = info.shape[:-2]
    if not sizes:
        return [range(1)]
    if info.axes[:-2][layout.axis].name == "c":
        return Pieces(info.num_planes, lambda plane: range(plane, plane + 1))
    axis = layout.axis % len(sizes)
    grid = (*sizes[:axis], -(-sizes[axis] // layout.planes), *sizes[axis + 1 :])
    step = math.prod(sizes[axis + 1 :])

    def make(index: int) -> range:
        row, inner = divmod(index, step)
        outer, span = divmod(row, grid[axis])
        first = span * layout.planes
        count = min(layout.planes, sizes[axis] - first)
        start = (outer * sizes[axis] + first) * step + inner
        return range(start, start + count * step, step)

    return Pieces(math.prod(grid), make)


def _regions(shape: tuple[int, int], edge: int | None) -> list[Region]:
    """Squares that cover a plane, in order; none where it need not be cut."""
    if edge is None or max(shape) <= edge:
        return []
    rows, columns = ([slice(i, min(i + edge, size)) for i in range(0, size, edge)] for size in shape)
    return list(product(rows, columns))


def _whole(shape: tuple[int, int]) -> Region:
    return slice(0, shape[0]), slice(0, shape[1])


def chunk_edge(size: int, most: int | None = None) -> int:
    """Side of a chunk along y or x: the whole axis up to 1024 pixels, else 512 to 1024 with little to spare.

    Args:
        size: of the axis.
        most: the side that was chosen, which chunks of longer axes have; None: none was.
    """
    return min(size, most) if most is not None else -(-size // -(-size // MAX_CHUNK))


def chunk_shape(shape: Sequence[int], edge: int | None = None, most: int | None = None) -> tuple[int, ...]:
    """Chunk of an array: a part of one plane, or of one region.

    Args:
        shape: of the array, y and x last.
        edge: side of a shard, as ``Layout.level_edge`` gives it.
        most: the side that was chosen, a power of two; None: none was.

    Returns:
        A size for each axis, in pixels.
    """
    y, x = (
        chunk_edge(size, most) if edge is None or size <= edge else min(edge, most or REGION_CHUNK)
        for size in shape[-2:]
    )
    return (*(1 for _ in shape[:-2]), y, x)


def shard_shape(
    shape: Sequence[int], layout: Layout, level: int = 0, most: int | None = None
) -> tuple[int, ...]:
    """Shard of a pyramid's level: planes of an item, rounded up to whole chunks, or a region of them.

    Args:
        shape: of the level.
        layout: cut of the volume.
        level: number of the level.
        most: see ``chunk_shape``.

    Returns:
        A size for each axis, in pixels.
    """
    edge = layout.level_edge(level)
    chunks = chunk_shape(shape, edge, most)[-2:]
    edges = tuple(
        -(-size // chunk) * chunk if edge is None or size <= edge else edge
        for size, chunk in zip(shape[-2:], chunks, strict=True)
    )
    leading = [1] * (len(shape) - 2)
    if leading:
        leading[layout.axis] = layout.planes
    return (*leading, *edges)
