"""The TensorRT engines with the real packages, on a machine without a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.engines import open_engine
from baikal_deploy.engines._tensorrt.build import build_engine
from baikal_deploy.engines._tensorrt.cache import CachedEngine, EngineKey
from baikal_deploy.engines._tensorrt.family import TENSORRT_RTX
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.engines._tensorrt.runtime import deserialise
from baikal_deploy.errors import EngineError, EngineUnavailable
from baikal_deploy.models.manifest import read_manifest
from tests.models import exported

CUDA = Path(sys.prefix) / "bindings" / "cuda"
CHECK = """
import json
from baikal_deploy.engines import engine_class
from baikal_deploy.errors import EngineUnavailable
try:
    engine_class("tensorrt-rtx").check()
except EngineUnavailable as error:
    print(json.dumps([error.reason, error.fix]))
"""


def has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(has_driver(), reason="there is an NVIDIA driver"),
    pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="the extra dev brings it"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CachedEngine:
    """A real engine file for a GPU that is not there."""
    path, manifest = exported(), read_manifest(exported())
    profile = Profile((1, 4, 4), (1, 32, 32), (2, 32, 32))
    data = build_engine(TENSORRT_RTX, path, manifest, profile, (86,))
    file = tmp_path_factory.mktemp("cache") / "real.engine"
    return CachedEngine(file, data, EngineKey.of(TENSORRT_RTX, path, manifest, profile, (86,)), built=True)


def test_a_whole_engine_file_is_an_error_with_the_vendors_reason(built: CachedEngine) -> None:
    with pytest.raises(EngineError) as caught:
        deserialise(TENSORRT_RTX, built)
    message = str(caught.value)
    assert message.startswith("engine tensorrt-rtx: TensorRT for RTX ")
    assert f"cannot load engine file {built.path} (" in message
    assert "CUDA driver version is insufficient" in message
    assert "\n" not in message


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_part_of_an_engine_file_is_an_error_too(kept: Any, built: CachedEngine) -> None:
    part = built.data[: int(kept * len(built.data)) if isinstance(kept, float) else kept]
    with pytest.raises(EngineError, match="cannot load engine file"):
        deserialise(TENSORRT_RTX, CachedEngine(built.path, part, built.key, built=False))


def test_opening_says_what_is_missing_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path))
    for name in ("tensorrt", "tensorrt-rtx"):
        with pytest.raises(EngineUnavailable, match=f"engine {name}: .*(not installed|no NVIDIA driver)"):
            open_engine(name, exported(), read_manifest(exported()))
    assert not list(tmp_path.iterdir())


def test_with_cuda_python_it_is_the_driver_that_is_missing() -> None:
    if not CUDA.is_dir():
        pytest.skip(f"pip install --no-deps --target {CUDA} cuda-bindings==13.5.0 cuda-pathfinder==1.9.0")
    environment = os.environ | {"PYTHONPATH": str(CUDA)}
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "engine tensorrt-rtx: no NVIDIA driver is installed",
        "install the NVIDIA driver for CUDA 13 (R580 or later)",
    ]
    assert not done.stderr
