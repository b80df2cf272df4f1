"""ONNX Runtime's engines for a GPU with the real package, on a machine without a GPU (make test-slow).

The package lies in a folder of its own, where only this test sees it: it would overwrite the one for CPUs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import exported

PACKAGE = Path(sys.prefix) / "bindings" / "onnxruntime-gpu"
PROVIDERS = ["CUDAExecutionProvider", "TensorrtExecutionProvider"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PACKAGE.is_dir(), reason="make test-slow installs onnxruntime-gpu"),
]


def said(code: str, *arguments: str, errors: bool = False) -> str:
    """What a program prints that finds this ONNX Runtime, with what goes to stderr if ``errors``."""
    path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported()), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr * errors).strip()


def refusal(code: str, *arguments: str, errors: bool = False) -> str:
    """The reason and the fix of the EngineUnavailable that some code raises."""
    lines = "\n".join(f"    {line}" for line in code.strip().splitlines())
    program = f"{IMPORTS}\ntry:\n{lines}\nexcept EngineUnavailable as e:\n    print(e.reason, e.fix)"
    return said(program, *arguments, errors=errors)


IMPORTS = """
import sys
from pathlib import Path
from baikal_deploy.engines import _onnxruntime, engine_class, open_engine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import EngineUnavailable
from baikal_deploy.models.manifest import read_manifest
path = Path(sys.argv[1])
"""


def test_the_package_computes_on_the_cpu_in_silence_when_asked_for_cuda() -> None:
    """Why sessions are checked; get_available_providers does not help."""
    code = """
import onnxruntime, sys
print(onnxruntime.get_available_providers()[:2])
print(onnxruntime.InferenceSession(sys.argv[1], providers=["CUDAExecutionProvider"]).get_providers())
"""
    available, got = said(code).splitlines()
    assert available == str(PROVIDERS[::-1])
    assert got == "['CPUExecutionProvider']"


def test_a_session_on_the_cpu_is_refused() -> None:
    text = refusal('_onnxruntime.open_session("some", path, EngineOptions(1), ["CUDAExecutionProvider"])')
    assert "engine some: ONNX Runtime could not use CUDAExecutionProvider" in text
    assert "would compute on CPUExecutionProvider" in text


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_library_that_a_provider_lacks_is_named_in_one_line(provider: str) -> None:
    text = refusal('_onnxruntime.check_provider("some", sys.argv[2], "do something")', provider, errors=True)
    assert text.startswith(f"engine some: ONNX Runtime has no {provider} here (libcublas")
    assert text.endswith("cannot open shared object file: No such file or directory) do something")


@pytest.mark.parametrize("name", ["onnx-cpu", "onnx-cuda", "onnx-tensorrt"])
def test_the_other_package_beside_it_is_found(name: str) -> None:
    text = refusal("open_engine(sys.argv[2], path, read_manifest(path))", name)
    assert text.startswith(f"engine {name}: onnxruntime and onnxruntime-gpu are both installed")


@pytest.mark.parametrize("name", ["onnx-cuda", "onnx-tensorrt"])
def test_alone_the_package_lacks_a_gpu(name: str) -> None:
    code = """
_onnxruntime._is_installed = lambda package: package == "onnxruntime-gpu"
open_engine(sys.argv[2], path, read_manifest(path))
"""
    text = refusal(code, name)
    assert text.startswith(f"engine {name}: ")
    assert "CuPy is not installed" in text or "cuda-python is not installed" in text or "no NVIDIA" in text


def test_alone_the_package_serves_on_the_cpu() -> None:
    code = f"""{IMPORTS}
import numpy as np
_onnxruntime._is_installed = lambda package: package == "onnxruntime-gpu"
with open_engine("onnx-cpu", path, read_manifest(path), EngineOptions(1)) as engine:
    print(engine.version(), engine.predict(np.ones((1, 1, 8, 8), np.float32), 3.0)[0].shape)
"""
    assert said(code) == "onnxruntime 1.31.1 (1, 1, 8, 8)"
