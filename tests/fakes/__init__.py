"""A GPU that is none: CUDA, CuPy and TensorRT as far as the engines call them, and stricter than they are.

No machine that this project is developed on has a GPU. The fakes stand in for its vendors' packages;
they cannot show that a GPU computes the right thing, only that the calls are made as the vendors'
documents ask for. Whatever goes against them raises ``Misuse`` at once, where a real GPU would return
garbage now and then. Networks are computed by ONNX Runtime on the CPU. tests/unit/engines/test_trt_names.py
compares all names and arguments with those of the real packages.

- ``device``: memory, and streams whose work is put off as long as nothing waits for it.
- ``cuda_runtime``: cuda.bindings.runtime.
- ``cupy``: arrays on the device.
- ``tensorrt``: loading and running engine files of either TensorRT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from baikal_deploy.engines._tensorrt import family as _trt_compat
from baikal_deploy.engines._tensorrt import runtime as _trt_runtime
from baikal_deploy.engines._tensorrt.profile import Profile
from tests.fakes import cuda_runtime, cupy, tensorrt
from tests.fakes.device import Device, Misuse

__all__ = ["Device", "Misuse", "install"]


def install(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Device:
    """Let the engines find the fakes, and an empty cache; returns the device behind them all."""
    device = Device()
    modules = {
        "tensorrt": tensorrt.module(device, "tensorrt", "11.4.0.106"),
        "tensorrt_rtx": tensorrt.module(device, "tensorrt_rtx", "1.7.1.116"),
        **cuda_runtime.modules(device),
        **cupy.modules(device),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("BAIKAL_CACHE", str(cache))

    def build(
        family: _trt_compat.Family, path: Path, manifest: object, profile: Profile, targets: tuple[int, ...]
    ) -> bytes:
        device.calls["build"] += 1
        return tensorrt.engine_file(family.module, path, profile)

    monkeypatch.setattr(_trt_runtime, "build_engine", build)
    return device
