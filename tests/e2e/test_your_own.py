"""The benchmark of a training on one's own images."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_specimens_differ_and_are_in_range() -> None:
    code = (
        "from own_structures import SPECIMENS, plane\n"
        "for name in SPECIMENS:\n"
        "    first, again, other = (plane(name, 64, seed) for seed in (0, 0, 1))\n"
        "    assert first.shape == (64, 64) and first.min() >= 0 and first.max() == 1, name\n"
        "    assert (first == again).all() and (first != other).mean() > 0.5, name\n"
        "    assert first.std() > 0.1, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_table_of_one_image() -> None:
    small = "--specimen axons --images 1 --iterations 2 --side 64 --crop 32 --planes 1"
    command = [sys.executable, str(BENCHMARKS / "your_own.py"), *small.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = (line for line in done.stdout.splitlines() if line.startswith("| axons |"))
    assert re.fullmatch(r"\| axons \| none \| \| \d\d\.\d\d \| \|", before)
    assert re.fullmatch(r"\| axons \| 1 \| \d\.\d \| \d\d\.\d\d \| [+-]\d\.\d\d \|", after)
