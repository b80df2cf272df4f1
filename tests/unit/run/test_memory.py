from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from baikal_deploy.denoising.windows import TilePlan
from baikal_deploy.errors import ConfigError
from baikal_deploy.host import groups, machine
from baikal_deploy.host.sizes import format_size, memory_limit
from baikal_deploy.run.memory import MemoryModel
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.layout import Layout, default_layout, layouts
from tests.unit.host.test_machine import MEMINFO


def model(shape: tuple[int, int, int], **changes: Any) -> MemoryModel:
    axes, ones = tuple(Axis(name) for name in "zyx"), (1.0,) * 3
    info = VolumeInfo(Path("v.zarr"), axes, shape, np.dtype("u2"), ones, ones, chunk=(1, 512, 512))
    plan = TilePlan.fit(info.plane_shape, 512, 64, 8)
    return replace(MemoryModel(2 * 10**8, info, 2, [plan], 0, 1, False, 0, False), **changes)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1GB", 10**9), ("500 MB", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("64k", 64_000), ("25%", 10**9),
        ("123456", 123456), (123456, 123456), (None, 2 * 10**9), ("2gb", 2 * 10**9),
    ],
)  # fmt: skip
def test_sizes(size: str | int | None, expected: int) -> None:
    assert memory_limit(size, free=4 * 10**9) == expected


@pytest.mark.parametrize("size", ["", "much", "-1GB", "0", "0%", "120%", "1 parsec", "nan", "GB"])
def test_no_sizes(size: str) -> None:
    with pytest.raises(ConfigError, match="write a size such as 1GB"):
        memory_limit(size, free=10**9)


def test_what_is_free_may_be_unknown() -> None:
    for size in (None, "50%"):  # never planned without a limit
        with pytest.raises(ConfigError, match="is unknown here"):
            memory_limit(size, free=None)
    assert memory_limit("4GB", free=None) == 4 * 10**9


def test_the_layout_is_the_same_with_any_memory_that_the_usual_one_fits() -> None:
    found = model((1000, 512, 512))
    for limit in (found.needed(default_layout(found.info)), 10**9, 10**12):
        assert found.choose(limit) == default_layout(found.info)


def test_a_gpu_with_little_memory_makes_regions_too() -> None:
    whole = model((4, 8192, 8192))
    assert whole.choose(10**12).edge is None
    found = replace(whole, on_device=whole.walking(whole.choose(10**12)) // 4)
    chosen = found.choose(10**12)
    assert chosen.edge is not None
    assert found.walking(chosen) <= (found.on_device or 0)
    assert replace(whole, on_device=10**12).choose(10**12) == whole.choose(10**12)
    tiny = replace(whole, on_device=10**6)
    with pytest.raises(ConfigError, match=r"the GPU has 1 MB free for planes, .*--batch"):
        tiny.choose(10**12)
    with pytest.raises(ConfigError, match="the GPU has"):
        tiny.check(whole.choose(10**12), 10**12)


def test_less_memory_makes_smaller_shards_and_then_regions() -> None:
    found = model((64, 4000, 3000))
    chosen = list(dict.fromkeys(found.choose(limit) for limit in range(4 * 10**9, 42 * 10**7, -(10**7))))
    assert chosen == [layout for layout in layouts(found.info) if layout in chosen]
    assert chosen[0] == default_layout(found.info)
    assert chosen[-1].edge is not None
    for layout in chosen:
        assert found.choose(found.needed(layout)) == layout


def test_halvings_are_discrete() -> None:
    planes = [layout.planes for layout in layouts(model((128, 512, 512)).info) if layout.edge is None]
    assert planes == [128, 64, 32, 16, 8, 4, 2, 1]


def test_too_little_memory_says_what_is_enough() -> None:
    found = model((4, 3000, 3000))
    with pytest.raises(ConfigError, match="too little; the least that works here is") as caught:
        found.choose(10**8)
    least = str(caught.value).split("least that works here is ")[1].split(" (")[0]
    assert found.choose(memory_limit(least, None)).edge == 256


def test_a_chunk_that_must_be_decoded_whole_counts_and_is_named() -> None:
    found = model((4, 3000, 3000))
    large = replace(found, info=replace(found.info, chunk=(1000, 1024, 1024)))
    layout = Layout(1, 1024)
    assert large.needed(layout) - found.needed(layout) >= 1000 * 1024 * 1024 * 2
    with pytest.raises(ConfigError, match="to decode one chunk of the input, 1000x1024x1024 pixels"):
        large.choose(10**9)


@pytest.mark.parametrize("change", [{"guided": True}, {"map_bytes": 5}, {"wants_std": True}, {"batch": 50}])
def test_more_work_needs_more(change: dict[str, Any]) -> None:
    layout = Layout(4)
    assert model((8, 2048, 2048), **change).needed(layout) > model((8, 2048, 2048)).needed(layout)


def test_sizes_are_rounded_up_for_people() -> None:
    sizes = (1, 849_000_001, 1_210_000_000, 2_500_000_000_000)
    assert [format_size(size) for size in sizes] == ["1 kB", "850 MB", "1.3 GB", "2.5 TB"]


def test_a_control_group_limits_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, root = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (root / "job" / "step").mkdir(parents=True)
    (proc / "meminfo").write_text(MEMINFO.format(8000, 4000))
    (proc / "self" / "cgroup").write_text("0::/job/step\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))
    monkeypatch.setattr(groups, "PROC", proc)
    monkeypatch.setattr(groups, "GROUPS", root)
    assert machine.free_bytes() == 4_096_000
    (root / "job" / "memory.max").write_text("3000000\n")
    (root / "job" / "memory.current").write_text("2000000\n")
    (root / "job" / "memory.stat").write_text("anon 5\ninactive_file 500000\n")
    (root / "job" / "step" / "memory.max").write_text("max\n")
    assert machine.free_bytes() == 1_500_000
