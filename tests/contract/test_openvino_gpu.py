"""OpenVINO's GPU device, as far as a machine without one allows: its CPU device stands in for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import pytest
from click.testing import CliRunner

from baikal_deploy.cli.doctor import main as doctor
from baikal_deploy.engines import FASTEST, FASTEST_IN_INT8, engine_class, open_engine
from baikal_deploy.engines import _openvino as compiler
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import ConfigError, EngineError, EngineUnavailable
from baikal_deploy.models.manifest import Precision, read_manifest
from tests.contract.cases import planes
from tests.models import exported

NAME = "Intel(R) Iris(R) Xe Graphics (iGPU)"
OF_THE_CPU = ("INFERENCE_NUM_THREADS", "ENABLE_CPU_PINNING")
"""Settings that the GPU plug-in does not know, and would refuse."""


class WithGpu:
    """OpenVINO on a machine with an Intel GPU, which computes as the CPU does."""

    def __init__(self, computes: str = "f32") -> None:
        self._core, self._computes = openvino.Core(), computes

    def get_property(self, device: str, name: str) -> Any:
        return (
            NAME if (device, name) == ("GPU", "FULL_DEVICE_NAME") else self._core.get_property(device, name)
        )

    def read_model(self, path: Any) -> Any:
        return self._core.read_model(path)

    def compile_model(self, model: Any, device: str, settings: dict[str, Any]) -> Any:
        assert device == "GPU"
        assert not set(settings) & set(OF_THE_CPU)
        assert settings["INFERENCE_PRECISION_HINT"] == "f32"
        return self._core.compile_model(
            model, "CPU", {**settings, "INFERENCE_PRECISION_HINT": self._computes}
        )

    def import_model(self, *args: Any) -> Any:
        raise AssertionError("nothing that was compiled for a GPU is kept")


def opened(precision: Precision = "fp32") -> Engine:
    path = exported()
    return open_engine("openvino-gpu", path, read_manifest(path), EngineOptions(1, precision))


def test_it_computes_what_the_cpu_does_and_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("BAIKAL_CACHE", str(tmp_path))
    core = WithGpu()
    monkeypatch.setattr(compiler, "_core", lambda: core)
    x = planes(1, 1, 16, 16)
    with opened() as engine, open_engine("onnx-cpu", exported(), engine.manifest) as other:
        assert (engine.name, engine.precision, engine.device) == ("openvino-gpu", "fp32", NAME)
        for _ in range(2):
            np.testing.assert_allclose(engine.predict(x, 300.0)[0], other.predict(x, 300.0)[0], atol=1e-4)
    assert not list(tmp_path.rglob("*.openvino"))


def test_another_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself the GPU plug-in computes in fp16."""
    if "BF16" not in compiler.capabilities():
        pytest.skip("no other precision to stand in for fp16")
    core = WithGpu("bf16")
    monkeypatch.setattr(compiler, "_core", lambda: core)
    with opened() as engine, pytest.raises(EngineError, match="would compute in bf16 instead of f32"):
        engine.predict(planes(1, 1, 16, 16), 300.0)
    for precision in ("fp16", "bf16", "int8"):
        with pytest.raises(ConfigError, match="engine openvino-gpu: not in"):
            opened(precision)  # type: ignore[arg-type]


def test_where_there_is_none_it_says_so_and_is_never_taken_unasked() -> None:
    if "GPU" in openvino.Core().available_devices:
        pytest.skip("there is an Intel GPU")
    with pytest.raises(EngineUnavailable, match="finds no Intel GPU with its driver") as caught:
        engine_class("openvino-gpu").check()
    assert "driver" in caught.value.fix
    assert "openvino-gpu" not in (*FASTEST, *FASTEST_IN_INT8)
    said = " ".join(CliRunner().invoke(doctor).stdout.split())
    assert "openvino-gpu no OpenVINO finds no Intel GPU" in said
    (line,) = (part for part in said.split(". ") if "these need one" in part)
    assert "openvino-gpu" not in line  # an NVIDIA GPU
