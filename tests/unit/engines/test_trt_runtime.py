"""Running engine files, over a GPU that is none: see tests/fakes for what that can show."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy import Denoiser
from baikal_deploy.engines import fastest_engine, open_engine
from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._tensorrt import runtime as _trt_runtime
from baikal_deploy.engines._tensorrt.cache import EngineKey, find_or_build
from baikal_deploy.engines._tensorrt.family import TENSORRT, load, logger
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.engines._tensorrt.runtime import MOST_SHAPES, TensorRtEngine
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.errors import EngineError, EngineUnavailable, ShapeOutsideProfile
from baikal_deploy.models.manifest import read_manifest
from baikal_deploy.pixels.arrays import Planes
from tests.fakes import Device, install
from tests.models import exported

NAMES = ["tensorrt", "tensorrt-rtx"]
OPTIONS = EngineOptions(batch=4, side=64)
BOTH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def model() -> Path:
    return exported("eps", "learned_range")


@pytest.fixture
def gpu(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Device]:
    device = install(monkeypatch, tmp_path)
    yield device
    assert device.misuses == []


@pytest.fixture
def opened(gpu: Device, model: Path) -> Iterator[Callable[[str], TensorRtEngine]]:
    engines = []

    def open_it(name: str) -> TensorRtEngine:
        engines.append(open_engine(name, model, read_manifest(model), OPTIONS))
        return engines[-1]

    yield open_it
    for engine in engines:
        engine.close()


def planes(*shape: int, seed: int = 0) -> Planes:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def from_host(engine: TensorRtEngine, x: Planes, t: float) -> list[Planes]:
    return [engine.download(one) for one in engine.predict(engine.upload(x), t) if one is not None]


def expected(model: Path, x: Planes, t: float) -> list[Planes]:
    with open_engine("onnx-cpu", model, read_manifest(model), EngineOptions(threads=1)) as engine:
        return [one for one in engine.predict(x, t) if one is not None]


def same(found: list[Planes], wanted: list[Planes]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@BOTH
def test_results_are_those_of_the_network_with_and_without_a_graph(
    name: str, opened: Any, model: Path
) -> None:
    x = planes(2, 1, 16, 24)
    engine, wanted = opened(name), expected(model, x, 3.5)
    assert all(same(from_host(engine, x, 3.5), wanted) for _ in range(4))
    assert len(wanted) == 2


def test_the_second_call_of_a_shape_captures_a_graph_and_later_ones_launch_it(
    opened: Any, gpu: Device
) -> None:
    engine, x = opened("tensorrt"), planes(1, 1, 8, 8)
    counts = []
    for _ in range(4):
        from_host(engine, x, 1.0)
        counts.append((gpu.calls["cudaStreamBeginCapture"], gpu.calls["cudaGraphLaunch"]))
    assert counts == [(0, 0), (1, 1), (1, 2), (1, 3)]
    from_host(engine, planes(1, 1, 8, 12), 1.0)
    from_host(engine, x, 1.0)
    assert gpu.calls["cudaStreamBeginCapture"] == 1
    from_host(engine, planes(1, 1, 8, 12), 1.0)
    assert gpu.calls["cudaStreamBeginCapture"] == 2
    assert gpu.live()["graphs"] == 0


def test_tensorrt_rtx_captures_graphs_itself(opened: Any, gpu: Device) -> None:
    engine = opened("tensorrt-rtx")
    for _ in range(3):
        from_host(engine, planes(1, 1, 8, 8), 1.0)
    assert not gpu.calls["cudaStreamBeginCapture"]


@BOTH
def test_few_shapes_are_kept_ready_and_others_computed_again(
    name: str, opened: Any, gpu: Device, model: Path
) -> None:
    engine = opened(name)
    inputs = [planes(1, 1, 8, 4 * side, seed=side) for side in range(1, 2 * MOST_SHAPES)]
    wanted = [expected(model, x, 7.0) for x in inputs]
    for _ in range(3):
        assert all(same(from_host(engine, x, 7.0), y) for x, y in zip(inputs, wanted, strict=True))
    assert gpu.live()["contexts"] == MOST_SHAPES
    assert gpu.live()["launchables"] == 0
    from_host(engine, inputs[-MOST_SHAPES], 7.0)
    assert gpu.live()["launchables"] == (name == "tensorrt"), "the shape used longest ago was still there"


@BOTH
def test_the_shape_in_use_stays_ready(name: str, opened: Any, gpu: Device) -> None:
    engine, often = opened(name), planes(1, 1, 8, 8)
    for side in range(3, 3 + 2 * MOST_SHAPES):
        from_host(engine, often, 7.0)
        from_host(engine, planes(1, 1, 8, 4 * side), 7.0)
    made = gpu.calls["context"]
    from_host(engine, often, 7.0)
    assert gpu.calls["context"] == made == 1 + 2 * MOST_SHAPES


@BOTH
def test_a_shape_makes_room_for_another_when_its_work_is_done(name: str, opened: Any, model: Path) -> None:
    engine, x = opened(name), planes(1, 1, 8, 12 * MOST_SHAPES)
    on_device, sides = engine.upload(x), range(4, x.shape[3], 4)
    results = [engine.predict(on_device[..., :side], 7.0)[0] for side in sides]  # the host waits for nothing
    for eps, side in zip(results, sides, strict=True):
        assert same([engine.download(eps)], expected(model, x[..., :side], 7.0)[:1])


def test_networks_that_cannot_be_captured_run_without_a_graph_and_say_so_once(
    opened: Any, gpu: Device, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.capturable = False
    engine, x = opened("tensorrt"), planes(1, 1, 8, 8)
    assert all(same(from_host(engine, x, 2.0), expected(model, x, 2.0)) for _ in range(4))
    (record,) = (one for one in caplog.records if one.levelno >= logging.WARNING)
    assert "no CUDA graph, so that evaluations take longer" in record.getMessage()
    assert "cudaStreamEndCapture failed (cudaErrorStreamCaptureInvalidated" in record.getMessage()


@BOTH
def test_later_calls_leave_results_alone(name: str, opened: Any) -> None:
    engine = opened(name)
    first, _ = engine.predict(engine.upload(planes(1, 1, 8, 8)), 2.0)
    before = engine.download(first)
    for seed in range(1, 4):
        engine.predict(engine.upload(planes(1, 1, 8, 8, seed=seed)), 2.0)
    np.testing.assert_array_equal(engine.download(first), before)


@BOTH
def test_input_may_be_overwritten_or_dropped_right_after_the_call(
    name: str, opened: Any, model: Path
) -> None:
    engine, x = opened(name), planes(1, 1, 8, 8)
    for _ in range(3):
        on_device = engine.upload(x)
        eps, _ = engine.predict(on_device, 2.0)
        on_device[...] = np.float32(0)
        del on_device
        assert same([engine.download(eps)], expected(model, x, 2.0)[:1])


@BOTH
def test_input_that_is_still_being_computed_is_waited_for(name: str, opened: Any, model: Path) -> None:
    engine, x = opened(name), planes(1, 1, 8, 8)
    computed = engine.upload(x) * 2.0 + engine.upload(x)
    eps, _ = engine.predict(computed, 2.0)
    assert same([engine.download(eps * 2.0)], [2 * expected(model, x * 2.0 + x, 2.0)[0]])


@BOTH
def test_threads_with_streams_of_their_own_share_an_engine(
    name: str, opened: Any, gpu: Device, model: Path
) -> None:
    engine = opened(name)
    inputs = [planes(1 + i % 3, 1, 8, 8 + 4 * (i % 2), seed=i) for i in range(24)]
    wanted = [expected(model, x, 5.0) for x in inputs]

    def call(index: int) -> bool:
        gpu.use_own_stream()
        return same(from_host(engine, inputs[index], 5.0), wanted[index])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(24)))


def test_shape_outside_the_profile_is_refused_with_the_profile_and_what_to_do(opened: Any) -> None:
    engine = opened("tensorrt")
    with pytest.raises(ShapeOutsideProfile) as caught:
        engine.predict(engine.upload(planes(5, 1, 8, 128)), 1.0)
    message = str(caught.value)
    assert "engine tensorrt: planes of shape (5, 1, 8, 128) lie outside 1x4x4,4x64x64,4x64x64" in message
    assert "for batch 5 and side 128" in message


@BOTH
def test_views_are_taken_and_given_as_what_they_show(name: str, opened: Any, model: Path) -> None:
    engine, wide = opened(name), planes(2, 1, 16, 32)
    on_device = engine.upload(wide)
    for show in (lambda x: x[..., ::2], lambda x: x[:, :, 4:12, 4:20], lambda x: x.swapaxes(2, 3)):
        np.testing.assert_array_equal(engine.download(show(on_device)), show(wide))
        eps, _ = engine.predict(show(on_device), 3.0)
        assert same([engine.download(eps)], expected(model, show(wide), 3.0)[:1])


def test_arrays_of_the_host_are_refused_with_what_to_do(opened: Any) -> None:
    with pytest.raises(EngineError, match=r"planes in numpy\.ndarray, not on the GPU.*upload"):
        opened("tensorrt").predict(planes(1, 1, 8, 8), 1.0)


@BOTH
def test_close_frees_everything_and_may_be_called_twice(name: str, opened: Any, gpu: Device) -> None:
    engine = opened(name)
    for side in (8, 8, 12):
        from_host(engine, planes(1, 1, side, 8), 1.0)
    assert all(gpu.live()[kind] for kind in ("device", "host", "streams", "events", "contexts"))
    engine.close()
    assert not any(gpu.live().values())
    engine.close()


@BOTH
def test_close_waits_for_work_that_nobody_waited_for(name: str, opened: Any, gpu: Device) -> None:
    engine = opened(name)
    for _ in range(3):
        engine.predict(engine.upload(planes(1, 1, 8, 8)), 1.0)
    engine.close()
    assert not any(gpu.live().values())


@BOTH
def test_use_after_close_is_an_error(name: str, opened: Any) -> None:
    engine, x = opened(name), planes(1, 1, 8, 8)
    on_device = engine.upload(x)
    engine.close()
    for call in (lambda: engine.predict(on_device, 1.0), lambda: engine.upload(x),
                 lambda: engine.download(on_device)):  # fmt: skip
        with pytest.raises(EngineError, match="used after close"):
            call()


@BOTH
def test_memory_does_not_grow_over_2000_calls(name: str, opened: Any, gpu: Device) -> None:
    engine, x = opened(name), planes(1, 1, 4, 4)
    for _ in range(4):
        from_host(engine, x, 1.0)
    before = gpu.live(), len(gpu.memory), sum(len(block.accesses) for block in gpu.memory.values())
    for _ in range(2000):
        from_host(engine, x, 1.0)
    assert before == (
        gpu.live(), len(gpu.memory), sum(len(block.accesses) for block in gpu.memory.values())
    )  # fmt: skip


@BOTH
def test_an_engine_file_is_built_once_and_described(
    name: str, opened: Any, gpu: Device, tmp_path: Path
) -> None:
    first, second = opened(name), opened(name)
    assert gpu.calls["build"] == 1
    assert first.profile == second.profile == Profile((1, 4, 4), (4, 64, 64), (4, 64, 64))
    assert first.device == "NVIDIA Fake 4090 (SM 89)"
    assert first.precision == "fp32"
    assert first.version().startswith("TensorRT ")
    (sidecar,) = tmp_path.rglob("*.json")
    assert ("NVIDIA Fake 4090" in sidecar.read_text()) == (name == "tensorrt")


def useless(model: Path) -> None:
    """Keep an engine file that is what its sidecar says, and that no TensorRT can load."""
    profile = Profile.default(OPTIONS, read_manifest(model))
    key = EngineKey.of(TENSORRT, model, read_manifest(model), profile, (89,), "NVIDIA Fake 4090")
    assert find_or_build(key, lambda: b"no engine").built


def test_engine_file_that_cannot_be_loaded_is_built_again_and_that_is_said(
    opened: Any, gpu: Device, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    useless(model)
    engine, x = opened("tensorrt"), planes(1, 1, 8, 8)
    assert gpu.calls["build"] == 1
    assert "Serialization (engine is damaged)); it is deleted and built again" in caplog.text
    assert same(from_host(engine, x, 1.0), expected(model, x, 1.0))


@pytest.mark.parametrize("found", [True, False])
def test_engine_file_that_can_never_be_loaded_is_an_error_and_not_kept(
    found: bool, opened: Any, gpu: Device, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if found:
        useless(model)
    builds = []
    monkeypatch.setattr(_trt_runtime, "build_engine", lambda *args: builds.append(args) or b"no engine")
    message = r"TensorRT 11\.4\.0\.106 cannot load engine file .*\.engine \(Error Code 1: Serialization"
    with pytest.raises(EngineError, match=message):
        opened("tensorrt")
    assert len(builds) == 1
    assert not any(gpu.live().values())
    assert not list(tmp_path.rglob("*.engine"))


def without(package: str) -> Callable[[Device, pytest.MonkeyPatch], None]:
    return lambda gpu, monkeypatch: monkeypatch.setitem(sys.modules, package, None)


def having(**state: Any) -> Callable[[Device, pytest.MonkeyPatch], None]:
    return lambda gpu, monkeypatch: [setattr(gpu, name, value) for name, value in state.items()]


@BOTH
@pytest.mark.parametrize(
    ("change", "reason", "fix"),
    [
        (without("cuda.bindings"), "cuda-python is not installed or cannot be loaded", "pip install"),
        (without("cupy.cuda"), "CuPy is not installed or cannot be loaded", "pip install"),
        (having(driver=0), "no NVIDIA driver is installed", "R580"),
        (having(driver=12040), "the NVIDIA driver is for CUDA 12.4 at most", "R580"),
        (having(there=False), "the NVIDIA driver finds no GPU", "nvidia-smi"),
        (having(failing={"cudaGetDeviceCount": 700}), "cudaErrorIllegalAddress: what CUDA says", "restart"),
    ],
    ids=["cuda-python", "cupy", "no driver", "old driver", "no GPU", "other"],
)
def test_what_is_missing_is_said_with_what_to_do(
    name: str, change: Any, reason: str, fix: str, gpu: Device, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(gpu, monkeypatch)
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(name, model, read_manifest(model), OPTIONS)
    assert caught.value.reason.startswith(f"engine {name}: ")
    assert reason in caught.value.reason
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("cupy.cuda"), "CuPy is not installed or cannot be loaded"),
        (having(driver=0), "no NVIDIA driver is installed"),
        (having(driver=12040), "the NVIDIA driver is for CUDA 12.4 at most"),
        (having(there=False), "the NVIDIA driver finds no GPU"),
    ],
    ids=["cupy", "no driver", "old driver", "no GPU"],
)
def test_cupy_says_the_same_by_itself(
    change: Any, reason: str, gpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cupy.check("onnx-cuda", "cuda")
    change(gpu, monkeypatch)
    with pytest.raises(EngineUnavailable, match=f"engine onnx-cuda: {reason}"):
        _cupy.check("onnx-cuda", "cuda")


def test_a_gpu_that_tensorrt_rtx_does_not_serve_is_refused_before_building(gpu: Device, model: Path) -> None:
    gpu.capability = (9, 0)
    with pytest.raises(EngineUnavailable, match=r"does not run on NVIDIA Fake 4090 \(SM 90\)"):
        open_engine("tensorrt-rtx", model, read_manifest(model), OPTIONS)
    assert fastest_engine(read_manifest(model), "fp32")[0] == "tensorrt"


def test_what_tensorrt_rtx_compiles_is_kept_for_the_next_start(
    opened: Any, gpu: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kernels(engine: Any) -> set[str]:
        return set(engine._network._compiled._cache._compiled)

    first = opened("tensorrt-rtx")
    assert kernels(first) == set()
    from_host(first, planes(1, 1, 8, 8), 1.0)
    first.close()
    (file,) = tmp_path.glob("engines/*.kernels")
    second = opened("tensorrt-rtx")
    assert kernels(second) == {"x_t (1, 1, 8, 8)", "timesteps (1,)"}
    second.close()
    file.write_bytes(b"evil")
    third = opened("tensorrt-rtx")
    assert kernels(third) == set()
    assert "was changed after it had been written" in caplog.text or "is not whole" in caplog.text
    gpu.capability = (8, 6)
    assert kernels(opened("tensorrt-rtx")) == set()


def test_tensorrt_itself_has_no_kernels_to_keep(opened: Any, gpu: Device, tmp_path: Path) -> None:
    opened("tensorrt").close()
    assert not list(tmp_path.glob("engines/*.kernels"))


@BOTH
def test_a_context_that_cannot_be_made_is_an_error_with_the_vendors_reason(
    name: str, opened: Any, gpu: Device
) -> None:
    engine = opened(name)
    vendors = logger(load(engine.FAMILY))
    vendors.log(vendors.ERROR, "of something earlier")
    gpu.failing["context"] = 2
    with pytest.raises(EngineError, match=r"making an execution context failed \(Error Code 2: OutOfMemory"):
        engine.predict(engine.upload(planes(1, 1, 8, 8)), 1.0)
    gpu.failing.clear()
    from_host(engine, planes(1, 1, 8, 8), 1.0)


@pytest.mark.parametrize(
    "call", ["cudaMemcpyAsync", "cudaEventRecord", "cudaStreamWaitEvent", "cudaGraphLaunch"]
)
def test_a_failing_call_is_an_error_that_names_it_and_the_next_call_works(
    call: str, opened: Any, gpu: Device, model: Path
) -> None:
    engine, x = opened("tensorrt"), planes(1, 1, 8, 8)
    for _ in range(2):
        from_host(engine, x, 1.0)
    on_device = engine.upload(x)
    gpu.failing[call] = 700
    with pytest.raises(EngineError, match=rf"CUDA: {call} failed \(cudaErrorIllegalAddress: what CUDA says"):
        engine.predict(on_device, 1.0)
    gpu.failing.clear()
    assert same(from_host(engine, x, 1.0), expected(model, x, 1.0))


@pytest.mark.parametrize(
    ("call", "words"), [("cudaMalloc", "no memory for planes"), ("cudaMallocHost", "cudaMallocHost failed")]
)
def test_too_little_memory_is_an_error_with_what_to_do_and_leaves_nothing_behind(
    call: str, words: str, opened: Any, gpu: Device
) -> None:
    gpu.failing[call] = 2
    with pytest.raises(EngineError, match=f"{words}.*choose a smaller tile or batch"):
        opened("tensorrt")
    gpu.failing.clear()
    assert not any(gpu.live().values())


@BOTH
def test_a_denoisers_state_stays_on_the_device(
    name: str, gpu: Device, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = np.random.default_rng(0).normal(100, 10, (2, 40, 50)).astype(np.float32)
    with Denoiser.load(model, name, tile=32, overlap=8, batch=8) as denoiser:
        engine, downloads = denoiser.predictor.engine, []
        down = engine.download
        monkeypatch.setattr(engine, "download", lambda x: downloads.append(x.shape) or down(x))
        result = denoiser.denoise(noisy, "repaint", steps=3)
    assert result.shape == noisy.shape
    assert np.isfinite(result).all()
    assert downloads.count((2, 1, 40, 50)) == 1
    del denoiser
    assert not any(gpu.live().values())
