"""ONNX Runtime's engines on a GPU, over a GPU that is none (see tests/fakes).

The sessions compute on the CPU, and otherwise do what CUDA's provider does: they read and write the
GPU's memory on a stream of their own.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from baikal_deploy.engines import onnx_cuda, onnx_tensorrt, open_engine
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._onnxruntime import session as _onnxruntime
from baikal_deploy.engines._onnxruntime.session import Providers
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.engines.base import Engine, EngineOptions
from baikal_deploy.errors import EngineError, EngineUnavailable, ModelError, ShapeOutsideProfile
from baikal_deploy.models.manifest import read_manifest
from tests.capabilities import require
from tests.contract import cases
from tests.contract import test_engines as contract
from tests.fakes import Device, install
from tests.fakes.device import Stream, Work
from tests.models import exported

OPTIONS = cases.OPTIONS
MODULES = {"onnx-cuda": onnx_cuda, "onnx-tensorrt": onnx_tensorrt}


class Session:
    """A session on a provider of the GPU's.

    Attributes:
        providers: those that it was asked for.
    """

    def __init__(self, device: Device, path: Path, providers: Providers) -> None:
        self.providers = providers
        self._device, self._session = device, onnxruntime.InferenceSession(str(path))
        self._stream = device.handle()
        device.streams[self._stream] = Stream(self._stream)
        self.get_outputs = self._session.get_outputs

    def io_binding(self) -> Binding:
        return Binding(self._session.io_binding())

    def run_with_iobinding(self, binding: Binding) -> None:
        def run() -> None:
            self._session.run_with_iobinding(binding.real)

        self._device.enqueue(self._stream, Work(run, binding.reads, binding.writes))
        self._device.finish(self._stream)


class Binding:
    """Addresses on the GPU."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int]] = []

    def bind_input(self, name: str, kind: str, number: int, dtype: Any, shape: Any, pointer: int) -> None:
        assert (kind, number) == ("cuda", 0)
        self.reads.append((pointer, 4 * int(np.prod(shape))))
        self.real.bind_input(name, "cpu", 0, dtype, shape, pointer)

    def bind_output(self, name: str, kind: str, number: int, dtype: Any, shape: Any, pointer: int) -> None:
        assert (kind, number) == ("cuda", 0)
        self.writes.append((pointer, 4 * int(np.prod(shape))))
        self.real.bind_output(name, "cpu", 0, dtype, shape, pointer)


@pytest.fixture(params=cases.MODELS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Path:
    return exported(*request.param)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Device:
    exported()  # before anything is replaced
    device = install(monkeypatch, tmp_path)
    sys.modules["tensorrt"].__version__ = "10.16.1.11"  # type: ignore[attr-defined]
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)

    def open_session(name: str, path: Path, options: EngineOptions, providers: Providers) -> Session:
        return Session(device, path, providers)

    for module in MODULES.values():
        monkeypatch.setattr(module, "check_installed", lambda name, package, extra: None)
        monkeypatch.setattr(module, "check_provider", lambda name, provider, fix: None)
        monkeypatch.setattr(module, "open_session", open_session)
    return device


@pytest.fixture(params=MODULES)
def engine(request: pytest.FixtureRequest, gpu: Device, model: Path) -> Iterator[Engine]:
    with open_engine(request.param, model, read_manifest(model), OPTIONS) as engine:
        yield engine
    assert gpu.misuses == []


globals().update(
    (name, test)
    for name, test in vars(contract).items()
    if name.startswith("test_") and "engine" in inspect.signature(test).parameters
)


@pytest.mark.parametrize("name", MODULES)
def test_planes_stay_on_the_gpu(name: str, gpu: Device) -> None:
    with open_engine(name, exported(), read_manifest(exported()), OPTIONS) as engine:
        x = engine.upload(cases.planes(1, 1, 8, 8))
        first, _ = engine.predict(x, 300.0)
        second, _ = engine.predict(first * 0.5 + x, 200.0)
        assert type(second) is type(x)
        with pytest.raises(EngineError, match="pass them through the engine's upload"):
            engine.predict(cases.planes(1, 1, 8, 8), 300.0)


@pytest.mark.parametrize("name", MODULES)
def test_use_after_close_is_an_error(name: str, gpu: Device) -> None:
    with open_engine(name, exported(), read_manifest(exported()), OPTIONS) as engine:
        x = engine.upload(cases.planes(1, 1, 8, 8))
    with pytest.raises(EngineError, match=f"engine {name}: used after close"):
        engine.predict(x, 300.0)


@pytest.mark.parametrize("name", MODULES)
def test_a_failing_evaluation_is_one_line(name: str, gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Session, binding: Binding) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access\nand its consequences")

    monkeypatch.setattr(Session, "run_with_iobinding", fail)
    with open_engine(name, exported(), read_manifest(exported()), OPTIONS) as engine:
        x = engine.upload(cases.planes(1, 1, 8, 8))
        with pytest.raises(EngineError) as caught:
            engine.predict(x, 300.0)
    assert (
        str(caught.value) == f"engine {name}: evaluation failed (CUDA failure 700: an illegal memory access)"
    )


@pytest.mark.parametrize("name", MODULES)
def test_without_a_gpu_the_reason_is_the_driver_s(name: str, gpu: Device) -> None:
    gpu.driver = 0
    with pytest.raises(EngineUnavailable, match=f"engine {name}: no NVIDIA driver is installed"):
        open_engine(name, exported(), read_manifest(exported()), OPTIONS)


def test_cuda_computes_fp32_without_tf32(gpu: Device) -> None:
    with open_engine("onnx-cuda", exported(), read_manifest(exported()), OPTIONS) as engine:
        session: Any = engine.session  # type: ignore[attr-defined]
    assert session.providers == [("CUDAExecutionProvider", {"use_tf32": 0})]


def tensorrt_providers(precision: Any = "fp32") -> Any:
    manifest = read_manifest(exported())
    with onnx_tensorrt.OnnxTensorRt.open(exported(), manifest, EngineOptions(1, precision, 2, 70)) as engine:
        session: Any = engine.session
        return session.providers


def test_tensorrt_is_told_its_shapes_precision_and_folder(gpu: Device, tmp_path: Path) -> None:
    (name, options), (rest, _) = tensorrt_providers()
    assert (name, rest) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert options["trt_profile_min_shapes"] == "x_t:1x1x4x4,timesteps:1"
    assert options["trt_profile_opt_shapes"] == "x_t:2x1x68x68,timesteps:2"
    assert options["trt_profile_max_shapes"] == "x_t:2x1x68x68,timesteps:2"
    assert options["trt_fp16_enable"] == "False"
    assert options["trt_engine_cache_enable"] == "True"
    assert Path(options["trt_engine_cache_path"]).parent == tmp_path / "engines"
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert tensorrt_providers("fp16")[0][1]["trt_fp16_enable"] == "True"


def test_planes_outside_tensorrt_s_shapes_are_refused(gpu: Device) -> None:
    with open_engine(
        "onnx-tensorrt", exported(), read_manifest(exported()), EngineOptions(side=16)
    ) as engine:
        x = engine.upload(cases.planes(1, 1, 20, 16))
        with pytest.raises(ShapeOutsideProfile, match=r"\(1, 1, 20, 16\).*1x4x4,1x16x16,1x16x16"):
            engine.predict(x, 300.0)


@pytest.mark.parametrize("version", ["11.4.0.106", "10.9.0"])
def test_another_tensorrt_than_onnxruntime_s_is_named(version: str, gpu: Device) -> None:
    sys.modules["tensorrt"].__version__ = version  # type: ignore[attr-defined]
    with pytest.raises(EngineUnavailable) as caught:
        open_engine("onnx-tensorrt", exported(), read_manifest(exported()), OPTIONS)
    assert caught.value.reason == (
        f"engine onnx-tensorrt: TensorRT {version} is installed; needed is 10.16 or later, below 11"
    )
    assert "baikal-deploy[onnx-tensorrt]" in caught.value.fix


@pytest.fixture
def writes_engine_files(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sessions that keep what they build, as the provider does; what they found there, by session."""
    require("modes")
    found: list[str] = []

    def open_session(name: str, path: Path, options: EngineOptions, providers: Any) -> Session:
        file = Path(providers[0][1]["trt_engine_cache_path"]) / "TensorrtExecutionProvider_1_sm89.engine"
        found.append(file.read_text() if file.exists() else "nothing")
        if not file.exists():
            file.write_text("built")
            file.chmod(0o666)
        return Session(gpu, path, providers)

    monkeypatch.setattr(onnx_tensorrt, "open_session", open_session)
    return found


def test_tensorrt_s_engine_files_are_found_again(writes_engine_files: list[str], tmp_path: Path) -> None:
    for _ in range(3):
        tensorrt_providers()
    assert writes_engine_files == ["nothing", "built", "built"]
    (file,) = tmp_path.glob("engines/*/*.engine")
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["changed", "without sidecar"])
def test_tensorrt_s_engine_files_that_were_tampered_with_are_built_again(
    damage: str, writes_engine_files: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensorrt_providers()
    (file,) = tmp_path.glob("engines/*/*.engine")
    if damage == "changed":
        file.write_text("evil!")
    else:
        file.with_name(f"{file.name}.json").unlink()
    tensorrt_providers()
    assert writes_engine_files == ["nothing", "nothing"]
    assert f"{file}" in caplog.text
    assert "it is deleted and built again" in caplog.text


def test_every_gpu_and_version_has_engine_files_of_its_own(
    writes_engine_files: list[str], gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensorrt_providers()
    gpu.capability = (8, 6)
    tensorrt_providers()
    monkeypatch.setattr(_cuda, "gpu", lambda: _cuda.Gpu("another", 86))
    tensorrt_providers()
    sys.modules["tensorrt"].__version__ = "10.17.0.1"  # type: ignore[attr-defined]
    tensorrt_providers()
    tensorrt_providers()
    assert writes_engine_files == ["nothing"] * 4 + ["built"]


def test_a_damaged_model_is_named_before_anything_is_built(gpu: Device, tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"\0")
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        open_engine("onnx-tensorrt", tmp_path / "damaged.onnx", read_manifest(exported()), OPTIONS)


def test_the_profile_is_the_one_of_the_other_tensorrt_engines(gpu: Device) -> None:
    manifest = read_manifest(exported())
    with onnx_tensorrt.OnnxTensorRt.open(exported(), manifest, OPTIONS) as engine:
        assert engine.profile == Profile.default(OPTIONS, manifest)


@pytest.mark.parametrize(("name", "extra"), [("onnx-cuda", "cuda"), ("onnx-tensorrt", "onnx-tensorrt")])
def test_onnxruntime_for_cpus_is_told_apart(name: str, extra: str) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(name, exported(), read_manifest(exported()), OPTIONS)
    assert caught.value.reason == f"engine {name}: the installed ONNX Runtime is the one for CPUs"
    assert caught.value.fix == f"pip uninstall onnxruntime, then pip install 'baikal-deploy[{extra}]'"


@pytest.mark.parametrize(("name", "extra"), [("onnx-cpu", "cpu"), ("onnx-cuda", "cuda")])
def test_both_packages_of_onnxruntime_are_one_too_many(
    name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "onnxruntime_gpu-1.31.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.31.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(name, exported(), read_manifest(exported()), OPTIONS)
    assert "onnxruntime and onnxruntime-gpu are both installed" in caught.value.reason
    assert caught.value.fix.endswith(f"pip install 'baikal-deploy[{extra}]'")


def test_a_session_without_its_provider_is_refused() -> None:
    """The package for CPUs warns of a provider that it was not built with, and computes on the CPU."""
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(EngineUnavailable, match="would compute on CPUExecutionProvider"),
    ):
        _onnxruntime.open_session("onnx-cuda", exported(), EngineOptions(1), ["CUDAExecutionProvider"])
