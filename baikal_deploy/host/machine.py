"""What this machine is, as far as it can be told without any vendor's package; None where it cannot."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
"""Of Linux. Other systems have none, and leave unknown what is read from it."""
GROUPS = Path("/sys/fs/cgroup")
GROUP_FILES = (
    (("memory.max",), ("memory.current",), ("memory.stat", "inactive_file")),
    (("memory.limit_in_bytes",), ("memory.usage_in_bytes",), ("memory.stat", "total_inactive_file")),
)
"""Limit, use, and what of the use can be had back, in control groups of versions 2 and 1."""
NO_LIMIT = 2**60
CPU_FLAGS = {
    "AVX512": {"avx512f"},
    "BF16": {"avx512_bf16", "amx_bf16"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "AMX": {"amx_tile"},
}
"""What makes networks fast on x86, and the flags in /proc/cpuinfo that any of which grants it."""
GPU_FIELDS = "name,driver_version,memory.total,memory.used"
NVIDIA_SMI = ("nvidia-smi", f"--query-gpu={GPU_FIELDS}", "--format=csv,noheader,nounits")
PATIENCE = 20.0
"""Seconds that nvidia-smi may take; the first call after a start can be slow."""


@dataclass(frozen=True)
class Cpu:
    """Attributes:
    model: as the system calls it.
    cores: of the machine; this process may be confined to fewer.
    features: which of ``CPU_FLAGS`` it has.
    """

    model: str | None
    cores: int | None
    features: dict[str, bool] | None


@dataclass(frozen=True)
class Memory:
    """Bytes of the machine, and how many of them are free to take."""

    total: int | None
    available: int | None


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU, as nvidia-smi knows it; memory in MiB."""

    name: str
    driver: str
    memory: int | None
    memory_used: int | None


def system() -> str:
    """Operating system and architecture, such as "Linux 6.1.0 x86_64"."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def cpu() -> Cpu:
    info = _colon_table("cpuinfo")
    flags = set(info["flags"].split()) if "flags" in info else None
    features = None if flags is None else {name: bool(any_of & flags) for name, any_of in CPU_FLAGS.items()}
    return Cpu(info.get("model name"), os.cpu_count(), features)


def memory() -> Memory:
    info = _colon_table("meminfo")
    total = _kib(info.get("MemTotal"))
    return Memory(total or _physical_memory(), _kib(info.get("MemAvailable")))


def free_bytes() -> int | None:
    """Memory that this process may still take: what is free, or what its control group (a container, a job of
    a cluster) has left, if that is less."""
    known = memory()
    available = known.available
    if available is None and known.total is not None:
        available = known.total // 2
    return min((free for free in (available, *_left_in_groups()) if free is not None), default=None)


def _left_in_groups() -> Iterator[int]:
    """What each control group above this process has left, where it has a limit."""
    for controllers, path in _control_groups():
        root, files = (GROUPS / "memory", GROUP_FILES[1]) if controllers else (GROUPS, GROUP_FILES[0])
        for folder in (root / path, *(root / path).parents):
            if not folder.is_relative_to(root):
                break
            limit, used, cached = (_number(folder, *file) for file in files)
            if limit is not None and used is not None and limit < NO_LIMIT:
                yield max(0, limit - used + (cached or 0))


def _control_groups() -> Iterator[tuple[str, str]]:
    """(controllers, path) of those that may limit memory; version 2 names no controllers."""
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            yield controllers, path.strip("/")


def _number(folder: Path, name: str, key: str = "") -> int | None:
    """The number in a file, or that after a key."""
    try:
        words = (folder / name).read_text().split()
    except OSError:
        return None
    place = words.index(key) + 1 if key in words else 0
    return int(words[place]) if words[place : place + 1] and words[place].isdecimal() else None


def resident_bytes() -> int | None:
    """Memory that this process holds."""
    return _kib(_colon_table("self/status").get("VmRSS"))


def nvidia_gpus() -> tuple[list[Gpu], str]:
    """The GPUs that the NVIDIA driver knows, and why there are none, if so."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except FileNotFoundError:
        return [], "no NVIDIA driver (nvidia-smi was not found)"
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"nvidia-smi failed ({error})"
    # Below its table it may print warnings, as of a corrupted infoROM.
    table = [line for line in done.stdout.splitlines() if line.count(",") >= 3]
    if done.returncode or not table:
        said = " ".join((done.stdout or done.stderr).split()) or f"exit code {done.returncode}"
        return [], f"nvidia-smi failed ({said})"
    return [_gpu(line) for line in table], ""


def _gpu(line: str) -> Gpu:
    name, driver, total, used = (field.strip() for field in line.rsplit(",", 3))
    return Gpu(name, driver, _whole(total), _whole(used))


def _whole(text: str) -> int | None:
    """nvidia-smi writes "[N/A]" for what a GPU does not tell."""
    return int(text) if text.isdecimal() else None


def _colon_table(name: str) -> dict[str, str]:
    """The first value of each key in a file of /proc; empty where there is none."""
    try:
        lines = (PROC / name).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _kib(text: str | None) -> int | None:
    return None if text is None else int(text.split()[0]) * 1024


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
