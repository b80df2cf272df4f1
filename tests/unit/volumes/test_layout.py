from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
    plan_reductions,
    shard_shape,
)
from tests.conftest import MakeInfo


@st.composite
def infos(draw: st.DrawFn) -> VolumeInfo:
    leading = [name for name in "tcz" if draw(st.booleans())]
    shape = (*(draw(st.integers(1, 5)) for _ in leading), 3, 4)
    ones = (1.0,) * len(shape)
    axes = tuple(Axis(name) for name in (*leading, "y", "x"))
    return VolumeInfo(Path("v.zarr"), axes, shape, np.dtype("u2"), ones, ones)


@given(infos(), st.integers(1, 200))
def test_items_cover_every_plane_once_and_never_mix_channels_or_rows(info: VolumeInfo, size: int) -> None:
    layout = default_layout(info, size)
    items = plan_items(info, layout)
    assert sorted(plane for item in items for plane in item.planes) == list(range(info.num_planes))
    assert [item.index for item in items] == list(range(len(items)))
    for item in items:
        assert len({info.channel(plane) for plane in item.planes}) == 1
        others = [
            np.delete(info.position(plane), layout.axis).tolist() for plane in item.planes if item.planes[1:]
        ]
        assert others == others[:1] * len(others)


@pytest.mark.parametrize(
    ("axes", "shape", "chunk", "planes", "axis", "items"),
    [
        ("tczyx", (600, 1, 1), None, 600, 0, 1),
        ("tczyx", (600, 2, 1), None, 600, 0, 2),
        ("tczyx", (6, 2, 30), None, 30, -1, 12),
        ("tczyx", (600, 1, 3), None, 600, 0, 3),
        ("tczyx", (600, 1, 3), (1, 1, 3, 4, 4), 3, -1, 600),  # a chunk holds three planes along z
        ("tczyx", (600, 1, 3), (5, 1, 1, 4, 4), 600, 0, 3),
        ("cyx", (7,), None, 1, -1, 7),
        ("tcyx", (9, 2), None, 9, 0, 2),
    ],
)
def test_a_shard_lies_along_the_longest_axis(
    make_info: MakeInfo, axes: str, shape: tuple[int, ...], chunk: Any, planes: int, axis: int, items: int
) -> None:
    info = replace(make_info(axes, (*shape, 4, 4)), chunk=chunk)
    layout = default_layout(info)
    assert layout == Layout(planes, axis=axis)
    assert len(plan_items(info, layout)) == items


@given(infos(), st.integers(1, 200), st.integers(1, 3))
def test_items_keep_their_numbers_when_the_first_axis_grows_by_whole_shards(
    info: VolumeInfo, size: int, more: int
) -> None:
    layout = default_layout(info, size)
    if len(info.shape) < 3 or (layout.axis % len(info.shape[:-2]) == 0 and info.shape[0] % layout.planes):
        return
    step = layout.planes if layout.axis % len(info.shape[:-2]) == 0 else 1
    grown = replace(info, shape=(info.shape[0] + more * step, *info.shape[1:]))
    items = list(plan_items(info, layout))
    assert list(plan_items(grown, layout))[: len(items)] == items


def test_a_million_planes_are_planned_at_once(make_info: MakeInfo) -> None:
    info = make_info("tczyx", (10**6, 2, 10**3, 4096, 4096))
    layout = Layout(1, 256)
    items, reductions = plan_items(info, layout), plan_reductions(info, layout)
    assert len(items) == 2 * 10**9 * 256
    assert items[-1].planes == range(2 * 10**9 - 1, 2 * 10**9)
    assert reductions[-1].index == len(items) + len(reductions) - 1


@given(infos(), st.integers(1, 200))
def test_each_item_is_one_shard(info: VolumeInfo, size: int) -> None:
    layout = default_layout(info, size)
    shard = shard_shape(info.shape, layout)
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
    chunk, shard = chunk_shape(shape), shard_shape(shape, Layout(planes))
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
        np.testing.assert_array_equal(array[plane_index(info, run)].reshape(-1, 3, 4), flat[list(run)])


def test_all_planes_of_a_row_are_one_run() -> None:
    ones = (1.0,) * 4
    axes = tuple(Axis(name) for name in "tzyx")
    info = VolumeInfo(Path("v"), axes, (2, 5, 3, 4), np.dtype("u1"), ones, ones)
    assert list(contiguous_runs(info, range(10))) == [range(5), range(5, 10)]
    assert list(contiguous_runs(info, [1, 6])) == [range(1, 7, 5)]
