from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.indexing import contiguous_runs, plane_index
from baikal_deploy.volumes.layout import (
    Layout,
    chunk_edge,
    chunk_shape,
    default_layout,
    plan_items,
    shard_shape,
)


@st.composite
def infos(draw: st.DrawFn) -> VolumeInfo:
    leading = [name for name in "tcz" if draw(st.booleans())]
    shape = (*(draw(st.integers(1, 5)) for _ in leading), 3, 4)
    ones = (1.0,) * len(shape)
    axes = tuple(Axis(name) for name in (*leading, "y", "x"))
    return VolumeInfo(Path("v.zarr"), axes, shape, np.dtype("u2"), ones, ones)


@given(infos(), st.integers(1, 200))
def test_items_cover_every_plane_once_and_never_mix_channels_or_rows(info: VolumeInfo, size: int) -> None:
    items = plan_items(info, default_layout(info, size))
    assert [plane for item in items for plane in item.planes] == list(range(info.num_planes))
    assert [item.index for item in items] == list(range(len(items)))
    for item in items:
        assert len({info.channel(plane) for plane in item.planes}) == 1
        assert len({info.position(plane)[:-1] for plane in item.planes}) == 1


@given(infos(), st.integers(1, 200))
def test_each_item_is_one_shard(info: VolumeInfo, size: int) -> None:
    layout = default_layout(info, size)
    shard = shard_shape(info.shape, layout.planes)
    touched: list[tuple[int, ...]] = []
    for item in plan_items(info, layout):
        grid = {
            tuple(i // edge for i, edge in zip(info.position(plane), shard, strict=False))
            for plane in item.planes
        }
        assert len(grid) == 1
        touched += grid
    assert len(touched) == len(set(touched))


@given(infos(), st.integers(1, 200))
def test_a_shard_holds_as_many_bytes_as_asked_or_one_plane(info: VolumeInfo, size: int) -> None:
    count = default_layout(info, size).planes
    plane_bytes = 3 * 4 * 2
    assert count == 1 or count * plane_bytes <= size


def test_planes_are_spread_evenly_over_shards() -> None:
    info = VolumeInfo(
        Path("v"), (Axis("z"), Axis("y"), Axis("x")), (30, 4, 4), np.dtype("u1"), (1.0,) * 3, (0.0,) * 3
    )
    assert default_layout(info, 16 * 16) == Layout(15)
    assert default_layout(info) == Layout(30)


@given(st.integers(1, 20000))
def test_chunk_edges_are_whole_axes_or_half_to_one_k(size: int) -> None:
    edge = chunk_edge(size)
    assert edge == size if size <= 1024 else 512 <= edge <= 1024
    assert -(-size // edge) * edge - size < -(-size // edge)  # fewer spare pixels than chunks


@given(st.tuples(st.integers(1, 9), st.integers(1, 5000), st.integers(1, 5000)), st.integers(1, 9))
def test_shards_divide_into_chunks_and_hold_whole_planes(shape: tuple[int, int, int], planes: int) -> None:
    chunk, shard = chunk_shape(shape), shard_shape(shape, planes)
    assert all(s % c == 0 for s, c in zip(shard, chunk, strict=True))
    assert shard[0] == planes
    assert shard[1] >= shape[1]
    assert shard[2] >= shape[2]


@given(infos(), st.data())
def test_runs_select_the_planes_they_stand_for(info: VolumeInfo, data: st.DataObject) -> None:
    planes = data.draw(st.lists(st.integers(0, info.num_planes - 1), max_size=12))
    array = np.arange(np.prod(info.shape)).reshape(info.shape)
    flat = array.reshape(-1, *info.plane_shape)
    runs = list(contiguous_runs(info, planes))
    assert list(itertools.chain(*runs)) == planes
    for run in runs:
        np.testing.assert_array_equal(array[plane_index(info, run)].reshape(-1, 3, 4), flat[run])


def test_all_planes_of_a_row_are_one_run() -> None:
    ones = (1.0,) * 4
    axes = tuple(Axis(name) for name in "tzyx")
    info = VolumeInfo(Path("v"), axes, (2, 5, 3, 4), np.dtype("u1"), ones, ones)
    assert list(contiguous_runs(info, range(10))) == [range(5), range(5, 10)]
