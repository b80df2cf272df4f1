"""This machine, as far as it is known without any GPU vendor's package; None stands for what is not."""

from __future__ import annotations

import math
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from baikal_deploy.host.groups import cpu_quota, memory_left

CPUINFO = Path("/proc/cpuinfo")
"""File of Linux on its processors; other systems have none, and leave unknown what is read from it."""
CPU_FLAGS = {
    "AVX512": {"avx512f"},
    "BF16": {"avx512_bf16", "amx_bf16"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "AMX": {"amx_tile"},
}
"""Features that make networks fast on x86, and the flags in /proc/cpuinfo any of which grants each."""
GPU_FIELDS = "name,driver_version,memory.total,memory.used"
NVIDIA_SMI = ("nvidia-smi", f"--query-gpu={GPU_FIELDS}", "--format=csv,noheader,nounits")
MAX_PATH = 259
"""Characters that a path has at most on Windows, unless long paths are enabled."""
PATIENCE = 20.0
"""Seconds that nvidia-smi may take; the first call after a start can be slow."""


@dataclass(frozen=True)
class Cpu:
    """Processor of the machine.

    Attributes:
        model: as the system calls it.
        cores: of the machine; this process may be confined to fewer.
        features: by name, whether it has each of ``CPU_FLAGS``.
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
    """Processor of this machine, as far as the system tells."""
    info = _cpuinfo()
    flags = set(info["flags"].split()) if "flags" in info else None
    features = None if flags is None else {name: bool(any_of & flags) for name, any_of in CPU_FLAGS.items()}
    return Cpu(info.get("model name"), psutil.cpu_count(), features)


def usable_cores() -> int:
    """Number of cores that this process may use.

    They are fewer than there are if it is confined to some, or if a container or a job of a cluster has a
    quota of CPU time.
    """
    try:
        allowed = len(psutil.Process().cpu_affinity())
    except (AttributeError, OSError, psutil.Error):  # macOS confines no process
        allowed = psutil.cpu_count() or 1
    quota = cpu_quota()
    return allowed if quota is None else min(allowed, math.ceil(quota))


def memory() -> Memory:
    """Memory of this machine, in bytes, as far as the system tells."""
    try:
        found = psutil.virtual_memory()
    except (OSError, psutil.Error):  # a Linux that shows no /proc
        return Memory(None, None)
    return Memory(found.total, found.available)


def free_bytes() -> int | None:
    """Bytes of memory that this process may still take; None where that is unknown.

    They are those that are free, or those that its control group (a container, a job of a cluster) has left,
    if these are fewer.
    """
    return min((free for free in (memory().available, memory_left()) if free is not None), default=None)


def resident_bytes() -> int | None:
    """Bytes of memory that this process holds; None where that is unknown."""
    try:
        return int(psutil.Process().memory_info().rss)
    except (OSError, psutil.Error):
        return None


def longest_path() -> int | None:
    """Characters that a path may have on Windows, unless it is set up for longer ones; None: any.

    Source: learn.microsoft.com/windows/win32/fileio/maximum-file-path-limitation.
    """
    if sys.platform != "win32":
        return None
    import winreg

    place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            enabled = bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:  # old versions have no such value, and no such paths
        enabled = False
    return None if enabled else MAX_PATH


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


def _cpuinfo() -> dict[str, str]:
    """The first value of each key; empty where it is not there."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines))
    return {key.strip(): value.strip() for key, _, value in pairs}
