"""What the end-to-end tests share: the command, and inputs on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

from baikal_deploy.cli.run import main
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei

if TYPE_CHECKING:
    from tests.serving import Served

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


# What only the tests of the server need is loaded by them.
@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """A server that shares memory and has room for many streams."""
    from baikal_deploy.serve import Limits
    from tests.e2e.inference import SHARED
    from tests.serving import served

    with served(Limits(largest=8, shared_memory=SHARED if SHARED.is_dir() else None, streams=99)) as made:
        yield made


@pytest.fixture
def client(server: Served) -> Iterator[Any]:
    """A client of the Open Inference Protocol."""
    import tritonclient.http as triton

    client = triton.InferenceServerClient(server.host, concurrency=8)
    yield client
    client.close()
