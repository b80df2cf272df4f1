"""What the end-to-end tests share: the command, and inputs on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

from baikal_deploy.cli.run import main
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

BaikalRun = Callable[..., Result]


@pytest.fixture
def baikal_run() -> BaikalRun:
    """baikal-run with the fast analytic engine, unless the arguments name another."""

    def run(*arguments: Any) -> Result:
        words = [str(argument) for argument in arguments]
        engine = [] if "--engine" in words else ["--engine", "analytic"]
        return CliRunner().invoke(main, [*words, *engine])

    return run


@pytest.fixture(scope="session")
def counts() -> np.ndarray:
    """Noisy nuclei as a camera sees them: (3, 96, 80) uint16."""
    return Camera().expose(simulate_nuclei((3, 96, 80), seed=5), seed=5)


@pytest.fixture
def noisy_zarr(tmp_path: Path, counts: np.ndarray) -> Path:
    """A plain Zarr array of ``counts``."""
    return write_zarr(tmp_path / "noisy.zarr", counts)


def write_zarr(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """A plain Zarr array with these pixels."""
    array = zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, **options)
    array[...] = pixels
    return path
