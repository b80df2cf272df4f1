"""What is told about a machine, from made-up files of /proc and a made-up nvidia-smi."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from baikal_deploy.host import machine
from tests.capabilities import require

EPYC = """\
processor\t: 0
model name\t: AMD EPYC 9354
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
COFFEE_LAKE = "model name\t: Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz\nflags\t\t: fpu sse2 avx2\n"
MEMINFO = """\
MemTotal:       {} kB
MemFree:               1 kB
MemAvailable:   {} kB
Buffers:               0 kB
Cached:                0 kB
Active:                0 kB
Inactive:              0 kB
Shmem:                 0 kB
"""
GRAVITON = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd bf16\n"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc that holds nothing yet."""
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path), raising=False)
    return tmp_path


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only program on the path; the test writes it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def write_program(path: Path, script: str) -> None:
    require("modes")
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("cpuinfo", "model", "features"),
    [
        (EPYC, "AMD EPYC 9354", {"AVX512": True, "BF16": True, "VNNI": True, "AMX": False}),
        (COFFEE_LAKE, "Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", dict.fromkeys(machine.CPU_FLAGS, False)),
        (GRAVITON, None, None),
    ],
    ids=["epyc", "coffee lake", "graviton"],
)
def test_cpu_is_told_by_its_flags(
    proc: Path, cpuinfo: str, model: str | None, features: dict[str, bool] | None
) -> None:
    (proc / "cpuinfo").write_text(cpuinfo)
    assert machine.cpu() == machine.Cpu(model, os.cpu_count(), features)


def test_memory_is_that_of_the_kernel(proc: Path) -> None:
    (proc / "meminfo").write_text(MEMINFO.format(24_600_000, 2000))
    assert machine.memory() == machine.Memory(24_600_000 * 1024, 2000 * 1024)


def test_memory_that_is_held_is_that_of_this_process() -> None:
    before = machine.resident_bytes()
    held = bytearray(b"x" * 100_000_000)
    after = machine.resident_bytes()
    assert before is not None
    assert after is not None
    assert 90_000_000 < after - before < 300_000_000
    assert len(held) == 100_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="a system without /proc")
def test_what_cannot_be_told_is_unknown(proc: Path) -> None:
    assert machine.cpu() == machine.Cpu(None, os.cpu_count(), None)
    assert machine.memory() == machine.Memory(None, None)
    assert machine.resident_bytes() is None
    assert machine.usable_cores() >= 1


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="a system without sysconf")
def test_memory_is_that_of_sysconf() -> None:
    pages = os.sysconf("SC_PHYS_PAGES")
    assert machine.memory().total == pages * os.sysconf("SC_PAGE_SIZE")


def test_gpus_are_those_of_nvidia_smi(nvidia_smi: Path) -> None:
    """Its lines as of driver 580, with a warning that some cards bring."""
    write_program(
        nvidia_smi,
        'echo "NVIDIA RTX A4000, 580.95.05, 16376, 612"\n'
        'echo "NVIDIA GB10, 580.95.05, [N/A], [N/A]"\n'
        'echo "WARNING: infoROM is corrupted at gpu 0000:08:00.0"',
    )
    assert machine.nvidia_gpus() == (
        [
            machine.Gpu("NVIDIA RTX A4000", "580.95.05", 16376, 612),
            machine.Gpu("NVIDIA GB10", "580.95.05", None, None),
        ],
        "",
    )


def test_missing_nvidia_smi_is_a_missing_driver(nvidia_smi: Path) -> None:
    assert machine.nvidia_gpus() == ([], "no NVIDIA driver (nvidia-smi was not found)")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('echo "NVIDIA-SMI has failed because\nit could not communicate"; exit 9', "failed because it could"),
        ("exit 3", "exit code 3"),
        ("while :; do :; done", "timed out"),
        ("echo No devices were found", "No devices were found"),
    ],
    ids=["driver", "silent", "hanging", "no gpu"],
)
def test_failing_nvidia_smi_is_a_line(
    nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    monkeypatch.setattr(machine, "PATIENCE", 0.3)
    write_program(nvidia_smi, script)
    gpus, problem = machine.nvidia_gpus()
    assert gpus == []
    assert problem.startswith("nvidia-smi failed")
    assert words in problem
    assert "\n" not in problem


def test_nvidia_smi_that_is_no_program_is_a_line(nvidia_smi: Path) -> None:
    require("modes")
    nvidia_smi.write_bytes(b"\x7fELF broken")
    nvidia_smi.chmod(0o755)
    assert machine.nvidia_gpus()[1].startswith("nvidia-smi failed")
