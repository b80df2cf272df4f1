"""ONNX Runtime's engines on a GPU, over a GPU that is none (see tests/fakes).

The sessions compute on the CPU, and otherwise do what CUDA's provider does: they read and write the
GPU's memory on a stream of their own.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
from baikal_deploy.host import extras
from baikal_deploy.models.manifest import read_manifest
from tests.capabilities import require
from tests.contract import cases
from tests.contract import test_engines as contract
from tests.fakes import Device, install
from tests.fakes.device import Range, Work
from tests.models import exported

OPTIONS = cases.OPTIONS
MODULES = {"onnx-cuda": onnx_cuda, "onnx-tensorrt": onnx_tensorrt}


@dataclass(frozen=True)
class Bound:
    """Where a session is told to read or to write."""

    dtype: Any
    shape: tuple[int, ...]
    pointer: int

    @property
    def place(self) -> Range:
        return self.pointer, 4 * int(np.prod(self.shape))


class Session:
    """A session on a provider of the GPU's, which computes on the stream that it is given.

    Attributes:
        providers: those that it was asked for.
    """

    def __init__(self, device: Device, path: Path, providers: Providers) -> None:
        self.providers = providers
        self._device, self._session = device, onnxruntime.InferenceSession(str(path))
        (self._stream,) = {
            int(one[1]["user_compute_stream"]) for one in providers if not isinstance(one, str)
        }
        assert self._stream in device.streams, "the stream is made before the session"
        self.get_outputs = self._session.get_outputs

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding, options: Any) -> None:
        # What is bound later is not for the work that waits in the stream by then.
        inputs, outputs = dict(binding.inputs), dict(binding.outputs)

        reads, writes = ([one.place for one in each.values()] for each in (inputs, outputs))
        memory = [self._device.values(place) for place in reads + writes]  # stays until the work is done

        def run() -> None:
            assert memory
            real: Any = self._session.io_binding()
            for name, one in inputs.items():
                real.bind_input(name, "cpu", 0, one.dtype, one.shape, one.pointer)
            for name, one in outputs.items():
                real.bind_output(name, "cpu", 0, one.dtype, one.shape, one.pointer)
            self._session.run_with_iobinding(real)

        self._device.enqueue(self._stream, Work(run, reads, writes))
        if options.get_run_config_entry("disable_synchronize_execution_providers") != "1":
            self._device.finish(self._stream)


class Binding:
    """Addresses on the GPU, by name; the last of each counts."""

    def __init__(self) -> None:
        self.inputs: dict[str, Bound] = {}
        self.outputs: dict[str, Bound] = {}

    def bind_input(self, name: str, kind: str, number: int, dtype: Any, shape: Any, pointer: int) -> None:
        assert (kind, number) == ("cuda", 0)
        self.inputs[name] = Bound(dtype, tuple(shape), pointer)

    def bind_output(self, name: str, kind: str, number: int, dtype: Any, shape: Any, pointer: int) -> None:
        assert (kind, number) == ("cuda", 0)
        self.outputs[name] = Bound(dtype, tuple(shape), pointer)


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
        monkeypatch.setattr(module, "check_provider", lambda *_, **__: None)
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
    def fail(self: Session, binding: Binding, options: Any) -> None:
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
        ((name, options),) = session.providers
    assert name == "CUDAExecutionProvider"
    assert options["use_tf32"] == 0


def test_cuda_computes_in_tf32_where_that_is_asked_for(gpu: Device) -> None:
    tf32 = EngineOptions(1, "tf32")
    with open_engine("onnx-cuda", exported(), read_manifest(exported()), tf32) as engine:
        session: Any = engine.session  # type: ignore[attr-defined]
        assert session.providers[0][1]["use_tf32"] == 1
        assert engine.precision == "tf32"


@pytest.mark.parametrize("name", MODULES)
def test_cudnn_s_algorithms_are_chosen_by_rule(name: str, gpu: Device) -> None:
    with open_engine(name, exported(), read_manifest(exported()), OPTIONS) as engine:
        session: Any = engine.session  # type: ignore[attr-defined]
        assert session.providers[-1][1]["cudnn_conv_algo_search"] == "HEURISTIC"


@pytest.mark.parametrize("name", MODULES)
def test_nobody_waits_for_an_evaluation_before_its_result_is_read(name: str, gpu: Device) -> None:
    with open_engine(name, exported(), read_manifest(exported()), OPTIONS) as engine:
        x = engine.upload(cases.planes(1, 1, 8, 8))
        engine.predict(x, 300.0)
        waits = {call: count for call, count in gpu.calls.items() if "ynchronize" in call}
        for _ in range(3):
            eps, _ = engine.predict(x, 300.0)
        assert waits == {call: count for call, count in gpu.calls.items() if "ynchronize" in call}
        assert np.isfinite(engine.download(eps)).all()
    assert gpu.misuses == []


@pytest.mark.parametrize("name", MODULES)
def test_streams_and_pinned_memory_are_given_back(name: str, gpu: Device) -> None:
    before = len(gpu.streams), len(gpu.events)
    open_engine(name, exported(), read_manifest(exported()), OPTIONS).close()
    assert (len(gpu.streams), len(gpu.events)) == before
    assert not [block for block in gpu.memory.values() if block.kind == "host"]


def test_a_session_that_cannot_be_made_leaves_no_stream(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ModelError("no such operator")

    before = len(gpu.streams)
    monkeypatch.setattr(onnx_cuda, "open_session", fail)
    with pytest.raises(ModelError):
        open_engine("onnx-cuda", exported(), read_manifest(exported()), OPTIONS)
    assert len(gpu.streams) == before


@pytest.mark.parametrize(("found", "reason"), [("nothing", "libcudnn"), ("wrong", "convolution wrongly")])
def test_the_probe_computes_a_convolution(found: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing cuDNN is noticed when the first convolution is computed."""
    _onnxruntime.check_provider("some", "CPUExecutionProvider", "fix", convolves=True)

    class Lacking:
        def __init__(self, *given: Any, **named: Any) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

        def run(self, *given: Any) -> list[Any]:
            if found == "nothing":
                raise RuntimeError("CUDNN failure: libcudnn_engines.so.9 cannot be loaded\nsomewhere")
            return [np.zeros((1, 1, 8, 8), np.float32)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Lacking)
    with pytest.raises(EngineUnavailable, match=reason) as caught:
        _onnxruntime.check_provider("some", "CUDAExecutionProvider", "do something", convolves=True)
    assert "\n" not in str(caught.value)
    assert caught.value.fix == "do something"


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
    assert extras.install("onnx-tensorrt") in caught.value.fix


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
    assert caught.value.fix == f"pip uninstall onnxruntime, then {extras.install(extra)}"


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
    assert caught.value.fix.endswith(extras.install(extra))


def test_a_session_without_its_provider_is_refused() -> None:
    """The package for CPUs warns of a provider that it was not built with, and computes on the CPU."""
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(EngineUnavailable, match="would compute on CPUExecutionProvider"),
    ):
        _onnxruntime.open_session("onnx-cuda", exported(), EngineOptions(1), ["CUDAExecutionProvider"])
