"""The contract of the TensorRT engines, over a GPU that is none (see tests/fakes).

No machine that this project is developed on has a GPU. These tests show that the engines keep the
contract as long as the vendors' packages do what their documents say; baikal-doctor --gpu-smoke
shows on a machine with a GPU that they do.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from baikal_deploy.engines import open_engine
from baikal_deploy.engines.base import Engine
from baikal_deploy.models.manifest import read_manifest
from tests.contract import cases
from tests.contract import test_engines as contract
from tests.fakes import Device, install
from tests.models import exported

MODELS = [("velocity", "fixed_small"), ("eps", "learned_range")]


@pytest.fixture(params=MODELS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Path:
    return exported(*request.param)


@pytest.fixture
def gpu(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Device:
    return install(monkeypatch, tmp_path)


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def engine(request: pytest.FixtureRequest, gpu: Device, model: Path) -> Iterator[Engine]:
    with open_engine(request.param, model, read_manifest(model), cases.OPTIONS) as engine:
        yield engine
    assert gpu.misuses == []
    left = gpu.live() | {"device": 0}  # exceptions that tests caught may hold arrays
    assert not any(left.values())


globals().update(
    (name, test)
    for name, test in vars(contract).items()
    if name.startswith("test_") and "engine" in inspect.signature(test).parameters
)
