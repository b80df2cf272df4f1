"""The benchmark of a training on one's own images."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def check(code: str) -> None:
    """Run statements beside the benchmarks, whose assertions must hold."""
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_specimens_differ_and_are_in_range() -> None:
    code = (
        "from own_structures import SPECIMENS, plane\n"
        "for name in SPECIMENS:\n"
        "    first, again, other = (plane(name, 64, seed) for seed in (0, 0, 1))\n"
        "    assert first.shape == (64, 64) and first.min() >= 0 and first.max() == 1, name\n"
        "    assert (first == again).all() and (first != other).mean() > 0.5, name\n"
        "    assert first.std() > 0.1, name\n"
    )
    check(code)


@pytest.mark.slow
def test_table_of_one_image() -> None:
    small = "--specimen axons --images 1 --iterations 2 --side 64 --crop 32 --planes 1 --levels 12 18"
    command = [sys.executable, str(BENCHMARKS / "your_own.py"), *small.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = (line for line in done.stdout.splitlines() if line.startswith("| axons |"))
    assert re.fullmatch(r"\| axons \| none \| (\| \d\d\.\d\d \| ){2}\|", before)
    assert re.fullmatch(r"\| axons \| 1 \| \d\.\d (\| \d\d\.\d\d \| [+-]\d\.\d\d ){2}\|", after)


@pytest.mark.slow
def test_folders_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    for folder in ("clean", "unseen"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
        for number in (2, 1):
            ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * number
            tifffile.imwrite(tmp_path / "mine" / folder / f"{number}.tif", ramp)
    code = (
        "from pathlib import Path\n"
        "from your_own import of_folders\n"
        f"mine = Path({str(tmp_path / 'mine')!r})\n"
        "structure = of_folders(mine / 'clean', mine / 'unseen')\n"
        "assert structure.name == 'mine'\n"
        "assert [int(image.max()) for image in structure.clean(1)] == [4095]\n"
        "assert [(image.min(), image.max()) for image in structure.unseen] == [(0, 1)] * 2\n"
    )
    check(code)
