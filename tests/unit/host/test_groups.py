"""What control groups let a process take: made-up ones, and a real one where one can be made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.host import groups, machine

SHOW = "from baikal_deploy.engines.base import EngineOptions; print(EngineOptions().cores)"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that names this process's groups; ``tmp_path`` stands for /sys/fs/cgroup."""
    monkeypatch.setattr(groups, "GROUPS", tmp_path)
    monkeypatch.setattr(groups, "PROC", tmp_path / "proc")
    file = tmp_path / "proc" / "self" / "cgroup"
    file.parent.mkdir(parents=True)
    return file


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may use eight cores."""
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: list(range(8)), raising=False)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text + "\n")


@pytest.mark.parametrize(
    ("text", "quota", "cores"),
    [
        ("max 100000", None, 8), ("150000 100000", 1.5, 2), ("200000 100000", 2, 2), ("10000 100000", 0.1, 1),
        ("300000 50000", 6, 6), ("6400000 100000", 64, 8), ("", None, 8), ("0 100000", None, 8),
        ("1 0", None, 8), ("much of it", None, 8), ("100000", None, 8),
    ],
)  # fmt: skip
def test_a_quota_of_version_2_is_rounded_up(
    tmp_path: Path, own: Path, eight: None, text: str, quota: float | None, cores: int
) -> None:
    own.write_text("0::/job\n", encoding="utf-8")
    write(tmp_path / "job", cpu_max=text)
    assert groups.cpu_quota() == quota
    assert machine.usable_cores() == EngineOptions().cores == cores
    assert EngineOptions(threads=5).cores == 5


@pytest.mark.parametrize(
    ("quota", "period", "cores"), [("-1", "100000", 8), ("250000", "100000", 3), ("5000", "10000", 1)]
)
def test_a_quota_of_version_1(
    tmp_path: Path, own: Path, eight: None, quota: str, period: str, cores: int
) -> None:
    own.write_text("5:cpu,cpuacct:/docker/1f\n4:cpuset:/elsewhere\n0::/unified\n", encoding="utf-8")
    write(tmp_path / "cpu" / "docker" / "1f", cpu_cfs_quota_us=quota, cpu_cfs_period_us=period)
    assert machine.usable_cores() == cores


def test_each_level_may_limit(tmp_path: Path, own: Path, eight: None) -> None:
    own.write_text("0::/a/b/c\n", encoding="utf-8")
    for levels, limit in (("a", "500000"), ("a/b", "300000"), ("a/b/c", "max"), ("other", "100000")):
        write(tmp_path / levels, cpu_max=f"{limit} 100000")
    assert machine.usable_cores() == 3


@pytest.mark.parametrize("line", ["4:cpu:/docker/of/the/host", "0::/docker/of/the/host", "0::/../../job"])
def test_a_container_sees_its_own_group_as_the_root(
    tmp_path: Path, own: Path, eight: None, line: str
) -> None:
    """Under a path that is there on the machine alone."""
    own.write_text(line + "\n", encoding="utf-8")
    write(tmp_path / "cpu", cpu_cfs_quota_us="400000", cpu_cfs_period_us="100000")
    write(tmp_path, cpu_max="400000 100000")
    assert machine.usable_cores() == 4


def test_a_group_with_a_name_of_any_bytes(tmp_path: Path, own: Path, eight: None) -> None:
    own.write_bytes("0::/job \x0b \u2028".encode() + b"\xff\n")
    write(tmp_path / os.fsdecode("job \x0b \u2028".encode() + b"\xff"), cpu_max="200000 100000")
    assert machine.usable_cores() == 2


def test_without_groups_all_that_the_process_may_use(own: Path, eight: None) -> None:
    assert groups.cpu_quota() is None
    assert groups.memory_left() is None
    assert machine.usable_cores() == 8


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A group of this machine below our own, for CPU time, that may have the time of half a core."""
    folder, version = next(groups._folders("cpu"), (Path("nowhere"), 0))
    group = folder / f"baikal-test-{uuid4().hex}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here ({error})")
    try:
        if version == 1:
            (group / "cpu.cfs_quota_us").write_text("50000")
        else:
            (group / "cpu.max").write_text("50000 100000")
        yield group
    except OSError as error:
        pytest.skip(f"no quota can be set here ({error})")
    finally:
        group.rmdir()


def test_a_real_quota(real_group: Path) -> None:
    """A process in the group computes with one thread."""
    join = f"import os; open({str(real_group / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
    command = [sys.executable, "-c", join + SHOW]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "1\n", done.stderr
