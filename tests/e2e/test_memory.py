"""The peak of a run's memory: what was allowed, whatever the volume."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from baikal_deploy.run.memory import HELD
from baikal_deploy.volumes.layout import SHARD_BYTES, Layout
from tests.e2e.conftest import BaikalRun, write_zarr

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


def benchmark(*arguments: str) -> str:
    command = [sys.executable, str(BENCHMARK), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux
@pytest.mark.slow
def test_eight_times_the_volume_needs_no_more_memory(tmp_path: Path) -> None:
    """Than one shard more: the longer a run, the likelier that reading, working and writing peak together."""
    text = benchmark("--gigabytes", "0.25", "2", "--folder", str(tmp_path))
    small, large = (int(peak) for peak in re.findall(r"GB: peak (\d+) MB", text))
    assert large - small < SHARD_BYTES / 1e6, text


@linux
@pytest.mark.slow
def test_a_mosaic_of_30000_squared_in_1_gb(tmp_path: Path) -> None:
    case: dict[str, Any] = {
        "planes": 1, "side": 30000, "dtype": "uint16", "sampler": "matched", "memory": "1GB", "noisy": True,
        "folder": str(tmp_path),
    }  # fmt: skip
    found = json.loads(benchmark("--case", json.dumps(case)))
    assert found["layout"]["edge"] is not None
    assert found["peak"] <= 10**9, found


def test_a_plan_says_what_it_takes_and_too_little_what_is_enough(
    tmp_path: Path, noisy_zarr: Path, baikal_run: BaikalRun
) -> None:
    done = baikal_run(noisy_zarr, "--dry-run", "--memory", "64GB")
    assert re.search(r"memory +\d.* of 64 GB; in shards of 3 planes", done.output)
    done = baikal_run(noisy_zarr, "--memory", "1MB")
    assert done.exit_code == 2
    assert "memory 1 MB: is too little; the least that works here is" in done.stderr
    done = baikal_run(noisy_zarr, "--memory", "lots")
    assert done.exit_code == 2
    assert "write a size such as 1GB" in done.stderr


def test_the_recorded_layout_must_fit(
    tmp_path: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zarr(tmp_path / "in.zarr", np.random.default_rng(0).integers(0, 99, (3, 64, 64), "u2"))
    monkeypatch.setattr(
        "baikal_deploy.run.resume.session.Session.finish", lambda *_: (_ for _ in ()).throw(OSError)
    )
    assert baikal_run(path, tmp_path / "out.zarr").exit_code == 1
    monkeypatch.undo()
    done = baikal_run(path, tmp_path / "out.zarr", "--memory", "1MB")
    assert done.exit_code == 2
    assert "is too little to continue the unfinished run" in done.stderr
    assert baikal_run(path, tmp_path / "out.zarr").exit_code == 0


def test_processes_share_what_is_free(
    tmp_path: Path, noisy_zarr: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.run.planner.free_bytes", lambda: 64 * 10**9)
    for dask, memory, shown in (
        ([], [], "32 GB"),
        (["--dask", "local:4"], [], "8 GB"),
        (["--dask", "local:4"], ["--memory", "25%"], "4 GB"),
        (["--dask", "local:4"], ["--memory", "20GB"], "20 GB"),
    ):
        done = baikal_run(noisy_zarr, "--dry-run", *dask, *memory)
        assert f" of {shown}; in shards" in done.output


def test_where_nothing_is_known_of_the_memory_it_is_asked_for(
    noisy_zarr: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As without /proc, on a system that psutil does not know either."""

    def unknown(*args: Any) -> Any:
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", unknown)
    monkeypatch.setattr(psutil, "Process", unknown)
    monkeypatch.setattr("baikal_deploy.host.groups.PROC", tmp_path / "proc")
    for words in ([], ["--memory", "25%"]):
        done = baikal_run(noisy_zarr, "--dry-run", *words)
        assert done.exit_code == 2
        assert "how much" in done.stderr
        assert "4GB" in done.stderr
    done = baikal_run(noisy_zarr, "--dry-run", "--memory", "4GB")
    assert done.exit_code == 0, done.output
    needed = re.search(r"memory +(\d+) MB of 4 GB", done.output)
    assert needed is not None
    assert int(needed[1]) > HELD / 1e6


def test_regions_are_counted_beside_copied_channels_too(
    tmp_path: Path, baikal_run: BaikalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.run.memory.layouts", lambda *_: [Layout(1, 256)])
    pixels = np.random.default_rng(0).integers(0, 99, (2, 300, 300), "u2")
    path = write_zarr(tmp_path / "in.zarr", pixels, dimension_names=["c", "y", "x"])
    done = baikal_run(path, "--dry-run", "--channel", "0")
    assert "1 plane, each in 4 regions; 8 passes" in done.output
