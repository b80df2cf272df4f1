"""Control groups of Linux: what a container, or a job of a cluster, may take of its machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
"""Folder of the system's own files; other systems have none, and no control groups."""
GROUPS = Path("/sys/fs/cgroup")
MEMORY_FILES = (
    (("memory.limit_in_bytes",), ("memory.usage_in_bytes",), ("memory.stat", "total_inactive_file")),
    (("memory.max",), ("memory.current",), ("memory.stat", "inactive_file")),
)
"""Files of the limit, of the use, and of the part of the use that can be had back, in versions 1 and 2."""
QUOTA_FILES = (("cpu.cfs_quota_us", "cpu.cfs_period_us"), ("cpu.max",))
"""Files of the microseconds of CPU time, and of how many of the clock they are for, in versions 1 and 2."""
NO_LIMIT = 2**60


def memory_left() -> int | None:
    """Bytes that the groups of this process have left; None without a limit."""
    return min(_memory_left(), default=None)


def cpu_quota() -> float | None:
    """Number of cores whose time the groups of this process may take, such as 1.5; None without a limit."""
    return min(_cpu_quotas(), default=None)


def _memory_left() -> Iterator[int]:
    for folder, version in _folders("memory"):
        limit, used, cached = (_number(folder, *file) for file in MEMORY_FILES[version - 1])
        if limit is not None and used is not None and limit < NO_LIMIT:
            yield max(0, limit - used + (cached or 0))


def _cpu_quotas() -> Iterator[float]:
    for folder, version in _folders("cpu"):
        words = [word for name in QUOTA_FILES[version - 1] for word in _words(folder, name)]
        if len(words) == 2 and all(map(str.isdecimal, words)):  # else -1 or "max": no limit
            quota, period = map(int, words)
            if quota and period:
                yield quota / period


def _folders(controller: str) -> Iterator[tuple[Path, int]]:
    """Folder and version of each group above this process that may limit something.

    The path may be that of the machine, where a container sees its own group alone, as the root.
    """
    for version, path in _paths(controller):
        root = GROUPS / controller if version == 1 else GROUPS
        for folder in (root / path, *(root / path).parents):
            if not folder.is_relative_to(root):
                break
            yield folder, version


def _paths(controller: str) -> Iterator[tuple[int, str]]:
    """(version, path) of the groups that this process is in; version 2 names no controllers."""
    try:
        text = (PROC / "self" / "cgroup").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    for line in filter(None, text.split("\n")):  # a name may hold what else ends a line
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            yield (1 if controllers else 2), path.strip("/")


def _number(folder: Path, name: str, key: str = "") -> int | None:
    """The number in a file, or that after a key."""
    words = _words(folder, name)
    place = words.index(key) + 1 if key in words else 0
    return int(words[place]) if words[place : place + 1] and words[place].isdecimal() else None


def _words(folder: Path, name: str) -> list[str]:
    try:
        return (folder / name).read_text(encoding="utf-8").split()
    except OSError:
        return []
