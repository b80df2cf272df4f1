"""The output's layout: chunks, shards, and the work items that go with them.

A shard holds planes that are consecutive on the last leading axis, whole or, where they are too large for the
memory, one region of them. It is written once, by one work item: writing a part of a shard would read and
rewrite all of it, and two writers in one shard would lose data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from baikal_deploy.volumes.base import Region, VolumeInfo, WorkItem
from baikal_deploy.volumes.pyramid import pyramid_levels

SHARD_BYTES = 64 * 2**20
MAX_CHUNK = 1024
EDGES = (8192, 4096, 2048, 1024, 512, 256)
"""Of regions: powers of two, so that their halves are whole pixels of the pyramid's levels."""
REGION_CHUNK = 512
LEAST_CHUNK = 256
"""Edge below which a level is not cut where level 0 is: its shards would be many and tiny."""


@dataclass(frozen=True)
class Layout:
    """How a volume is cut into items, and so its output into shards.

    Attributes:
        planes: consecutive planes of an item, as far as there are so many that may share a shard.
        edge: side of the square regions that larger planes are cut into; None: they stay whole.
    """

    planes: int
    edge: int | None = None

    def record(self) -> dict[str, Any]:
        """As JSON holds it: the fields by name."""
        return asdict(self)

    def level_edge(self, level: int) -> int | None:
        """Side of a shard of a level along an axis that is longer."""
        if self.edge is None or not self.has_part(level):
            return self.edge
        return self.edge >> level

    def has_part(self, level: int) -> bool:
        """Whether an item has a shard in this level, which is written with it. Other levels are made of the
        one above when that is complete."""
        return self.edge is None or level == 0 or self.edge >> level >= LEAST_CHUNK


def default_layout(info: VolumeInfo, shard_bytes: int = SHARD_BYTES) -> Layout:
    """As many whole planes as fit ``shard_bytes``, at least one, evenly spread over the shards of a row."""
    height, width = info.plane_shape
    return _spread(info, shard_bytes // (height * width * info.dtype.itemsize))


def layouts(info: VolumeInfo) -> Iterator[Layout]:
    """The default layout, and smaller ones: of half as many planes each, and then of regions."""
    layout = default_layout(info)
    yield layout
    while layout.planes > 1:
        layout = _spread(info, layout.planes // 2)
        yield layout
    for edge in EDGES:
        if edge < max(info.plane_shape):
            yield Layout(1, edge)


def _spread(info: VolumeInfo, fitting: int) -> Layout:
    run = _run_length(info)
    return Layout(-(-run // -(-run // max(1, fitting))))


def _run_length(info: VolumeInfo) -> int:
    """How many consecutive planes may share a shard: those of one row on the last leading axis,
    but never two channels, which are normalised apart."""
    return 1 if len(info.shape) == 2 or info.axes[-3].name == "c" else info.shape[-3]


def plan_items(info: VolumeInfo, layout: Layout) -> list[WorkItem]:
    """The work items of a volume: every plane once, in order, region by region."""
    regions: Sequence[Region | None] = _regions(info.plane_shape, layout.edge) or [None]
    pieces = product(_spans(info, layout), regions)
    return [WorkItem(index, planes, region) for index, (planes, region) in enumerate(pieces)]


@dataclass(frozen=True)
class Reduction:
    """A shard of a pyramid's level that is made of the level above, once that is complete.

    Attributes:
        index: number that no item and no other reduction has.
        level: which is written.
        planes: plane numbers.
        region: in that level.
    """

    index: int
    level: int
    planes: range
    region: Region


def plan_reductions(info: VolumeInfo, layout: Layout) -> list[Reduction]:
    """Shards of levels that items have no part in, from the largest level to the smallest."""
    first = len(plan_items(info, layout))
    levels = pyramid_levels(info.plane_shape)
    pieces = [
        (number, planes, region)
        for number, level in enumerate(levels)
        if not layout.has_part(number)
        for planes in _spans(info, layout)
        for region in _regions(level.plane_shape, layout.edge) or [_whole(level.plane_shape)]
    ]
    return [Reduction(first + number, *piece) for number, piece in enumerate(pieces)]


def _spans(info: VolumeInfo, layout: Layout) -> list[range]:
    run = _run_length(info)
    return [
        range(first, min(first + layout.planes, row + run))
        for row in range(0, info.num_planes, run)
        for first in range(row, row + run, layout.planes)
    ]


def _regions(shape: tuple[int, int], edge: int | None) -> list[Region]:
    """Squares that cover a plane, in order; none where it need not be cut."""
    if edge is None or max(shape) <= edge:
        return []
    rows, columns = ([slice(i, min(i + edge, size)) for i in range(0, size, edge)] for size in shape)
    return list(product(rows, columns))


def _whole(shape: tuple[int, int]) -> Region:
    return slice(0, shape[0]), slice(0, shape[1])


def chunk_edge(size: int) -> int:
    """Chunk edge along y or x: the whole axis up to 1024, else 512 to 1024 with little to spare."""
    return -(-size // -(-size // MAX_CHUNK))


def chunk_shape(shape: Sequence[int], edge: int | None = None) -> tuple[int, ...]:
    """Chunk of an array: a part of one plane, or of one region.

    Args:
        edge: see ``Layout.level_edge``.
    """
    y, x = (
        chunk_edge(size) if edge is None or size <= edge else min(edge, REGION_CHUNK) for size in shape[-2:]
    )
    return (*(1 for _ in shape[:-2]), y, x)


def shard_shape(shape: Sequence[int], planes: int, edge: int | None = None) -> tuple[int, ...]:
    """Shard of an array: ``planes`` planes, whole and rounded up to whole chunks, or a region of them.

    Args:
        planes: consecutive planes on the last leading axis; ignored where there is none.
        edge: see ``Layout.level_edge``.
    """
    chunks = chunk_shape(shape, edge)[-2:]
    edges = tuple(
        -(-size // chunk) * chunk if edge is None or size <= edge else edge
        for size, chunk in zip(shape[-2:], chunks, strict=True)
    )
    leading = (*(1 for _ in shape[:-3]), planes) if len(shape) > 2 else ()
    return leading + edges
