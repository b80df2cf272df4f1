"""CUDA's calls and what they report, over a GPU that is none; test_trt_names.py has the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.errors import EngineError
from tests.fakes import Device, install


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Device]:
    device = install(monkeypatch, tmp_path)
    yield device
    assert device.misuses == []


def test_a_gpu_has_a_name_and_a_compute_capability(gpu: Device) -> None:
    assert _cuda.gpu() == _cuda.Gpu("NVIDIA Fake 4090", 89)
    gpu.capability = (12, 0)
    assert str(_cuda.gpu()) == "NVIDIA Fake 4090 (SM 120)"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (2, "CUDA: cudaMallocHost failed (cudaErrorMemoryAllocation: what CUDA says); choose a smaller tile "
            "or batch (--tile, --batch), cut planes into smaller regions (--memory 2GB, say), or close other "
            "programs on the GPU"),
        (700, "CUDA: cudaMallocHost failed (cudaErrorIllegalAddress: what CUDA says)"),
    ],
)  # fmt: skip
def test_what_fails_is_named_with_cudas_own_words(code: int, message: str, gpu: Device) -> None:
    gpu.failing["cudaMallocHost"] = code
    with pytest.raises(EngineError) as caught:
        _cuda.allocate_host(100)
    assert str(caught.value) == message


def test_a_graph_does_again_what_was_captured_and_nothing_while_it_was(gpu: Device) -> None:
    stream, ready = _cuda.create_stream(), _cuda.create_event()
    source, target = _cupy.upload(np.ones(4, np.float32)), _cupy.upload(np.zeros(4, np.float32))
    _cuda.record(ready, 0)
    _cuda.order(ready, stream)
    places = _cupy.pointer(target), _cupy.pointer(source), 16
    graph = _cuda.capture(stream, lambda: _cuda.copy_on_device(*places, stream))
    _cuda.finish(stream)
    assert not _cupy.download(target).any()
    _cuda.launch(graph, stream)
    _cuda.finish(stream)
    assert _cupy.download(target).all()
    _cuda.destroy_graph(graph)
    assert gpu.live()["graphs"] == gpu.live()["launchables"] == 0


def failing() -> NoReturn:
    raise EngineError("the network cannot be run")


@pytest.mark.parametrize("reason", ["work", "capture", "cudaGraphInstantiate"])
def test_a_capture_that_fails_leaves_nothing_behind_and_the_stream_usable(reason: str, gpu: Device) -> None:
    stream = _cuda.create_stream()
    if reason == "capture":
        gpu.capturable = False
    elif reason != "work":
        gpu.failing[reason] = 901
    with pytest.raises(EngineError, match=r"cannot be run|cudaErrorStreamCaptureInvalidated"):
        _cuda.capture(stream, failing if reason == "work" else lambda: None)
    gpu.capturable, gpu.failing = True, {}
    assert gpu.live()["graphs"] == gpu.live()["launchables"] == 0
    _cuda.finish(stream)
    _cuda.destroy_graph(_cuda.capture(stream, lambda: None))
