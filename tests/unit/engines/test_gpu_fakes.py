"""The GPU that is none refuses what a real one would answer with garbage (see tests/fakes)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._tensorrt.family import TENSORRT, TENSORRT_RTX, Family, first_error, load, logger
from baikal_deploy.engines._tensorrt.profile import Profile
from tests.fakes import Device, Misuse, install
from tests.fakes.tensorrt import INTERMEDIATE, engine_file
from tests.models import exported

SHAPE = (1, 1, 8, 8)
SIZE = 256
"""Bytes of planes of that shape."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Device:
    exported()
    return install(monkeypatch, tmp_path)


@pytest.fixture
def stream(gpu: Device) -> Any:
    return _cuda.create_stream()


class Context:
    """An execution context and its buffers, ready to run step by step."""

    def __init__(self, family: Family = TENSORRT) -> None:
        trt = load(family)
        self.logger = logger(trt)
        profile = Profile((1, 4, 4), (2, 16, 16), (2, 16, 16))
        engine = trt.Runtime(self.logger).deserialize_cuda_engine(
            engine_file(family.module, exported(), profile)
        )
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if family.portable:
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self.of_vendor = engine.create_execution_context(runtime_config=config)
        self.memory = _cupy.empty((INTERMEDIATE,), np.uint8)
        self.buffers = {"x_t": _cupy.upload(np.zeros(SHAPE, np.float32)), "timesteps": _cupy.full(1, 3.0),
                        "eps": _cupy.empty(SHAPE)}  # fmt: skip

    def give_memory(self) -> None:
        self.of_vendor.set_device_memory(_cupy.pointer(self.memory), INTERMEDIATE)

    def give_shapes(self) -> None:
        assert self.of_vendor.set_input_shape("x_t", SHAPE)
        assert self.of_vendor.set_input_shape("timesteps", SHAPE[:1])

    def give_addresses(self) -> None:
        for name, buffer in self.buffers.items():
            assert self.of_vendor.set_tensor_address(name, _cupy.pointer(buffer))

    def execute(self, stream: Any) -> None:
        assert self.of_vendor.execute_async_v3(stream)


@pytest.fixture
def context(gpu: Device) -> Context:
    return Context()


@pytest.fixture
def ready(context: Context, stream: Any) -> Iterator[Context]:
    """A context that only has to be executed, on a stream that waits for CuPy's."""
    context.give_memory()
    context.give_shapes()
    context.give_addresses()
    follow(stream, 0)
    return context


def follow(stream: Any, other: Any) -> None:
    event = _cuda.create_event()
    _cuda.record(event, other)
    _cuda.order(event, stream)


def launch(graph: Any, stream: Any) -> None:
    _cuda.launch(graph, stream)
    _cuda.finish(stream)


def test_the_right_order_is_taken(ready: Context, stream: Any, gpu: Device) -> None:
    ready.execute(stream)
    launch(_cuda.capture(stream, lambda: ready.execute(stream)), stream)
    assert np.isfinite(_cupy.download(ready.buffers["eps"])).all()
    assert gpu.misuses == []


def test_execution_needs_memory_for_intermediate_results(context: Context, stream: Any) -> None:
    with pytest.raises(Misuse, match="no memory for intermediate results"):
        context.execute(stream)


def test_addresses_come_after_shapes(context: Context) -> None:
    with pytest.raises(Misuse, match="an address is set before the shapes are"):
        context.give_addresses()


def test_execution_needs_all_addresses(context: Context, stream: Any) -> None:
    context.give_memory()
    context.give_shapes()
    del context.buffers["eps"]
    context.give_addresses()
    with pytest.raises(Misuse, match="not every input and output has an address"):
        context.execute(stream)


def test_execution_needs_a_stream_of_its_own(ready: Context) -> None:
    with pytest.raises(Misuse, match="the default stream"):
        ready.execute(0)


def test_freed_memory_is_not_executed_on(ready: Context, stream: Any) -> None:
    del ready.buffers["x_t"]
    with pytest.raises(Misuse, match="not, or no longer, allocated"):
        ready.execute(stream)


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [(SHAPE, np.int32, "x_t does not hold float32"), ((1, 1, 8, 7), np.float32, "not, or no longer, alloc")],
)
def test_memory_of_another_dtype_or_size_is_refused(
    shape: tuple[int, ...], dtype: Any, reason: str, ready: Context, stream: Any
) -> None:
    other = _cupy.empty(shape, dtype)
    assert ready.of_vendor.set_tensor_address("x_t", _cupy.pointer(other))
    with pytest.raises(Misuse, match=reason):
        ready.execute(stream)


def test_shapes_outside_the_profile_and_unknown_names_are_false_with_a_reason(context: Context) -> None:
    assert not context.of_vendor.set_input_shape("x_t", (3, 1, 8, 8))
    assert not context.of_vendor.set_input_shape("image", SHAPE)
    context.give_shapes()
    assert not context.of_vendor.set_tensor_address("image", 1)
    assert "does not satisfy the profile" in first_error(load(TENSORRT))


def test_nothing_is_captured_before_the_first_run(ready: Context, stream: Any) -> None:
    with pytest.raises(Misuse, match="a graph is captured before the first run"):
        _cuda.capture(stream, lambda: ready.execute(stream))


def test_what_captures_graphs_itself_is_not_captured(gpu: Device, stream: Any) -> None:
    context = Context(TENSORRT_RTX)
    context.give_memory()
    context.give_shapes()
    context.give_addresses()
    follow(stream, 0)
    context.execute(stream)
    with pytest.raises(Misuse, match="what captures graphs itself"):
        _cuda.capture(stream, lambda: context.execute(stream))


@pytest.mark.parametrize("change", ["address", "shape", "memory"])
def test_a_graph_is_not_launched_after_its_context_changed(change: str, ready: Context, stream: Any) -> None:
    ready.execute(stream)
    graph = _cuda.capture(stream, lambda: ready.execute(stream))
    other = _cupy.empty(SHAPE)
    if change == "address":
        ready.of_vendor.set_tensor_address("x_t", _cupy.pointer(other))
    elif change == "shape":
        ready.of_vendor.set_input_shape("x_t", (1, 1, 4, 4))
    else:
        ready.give_memory()
    with pytest.raises(Misuse, match="no longer what it was"):
        launch(graph, stream)


@pytest.mark.parametrize(
    ("missing", "reason"), [("eps", "not, or no longer, allocated"), ("context", "the context is gone")]
)
def test_a_graph_is_not_launched_without_its_buffers_and_its_context(
    missing: str, reason: str, ready: Context, stream: Any
) -> None:
    ready.execute(stream)
    graph = _cuda.capture(stream, lambda: ready.execute(stream))
    _cuda.finish(stream)
    if missing == "context":
        del ready.of_vendor
    else:
        del ready.buffers[missing]
    with pytest.raises(Misuse, match=reason):
        launch(graph, stream)


def test_a_destroyed_graph_is_not_launched(ready: Context, stream: Any) -> None:
    ready.execute(stream)
    graph = _cuda.capture(stream, lambda: ready.execute(stream))
    _cuda.destroy_graph(graph)
    with pytest.raises(Misuse, match=r"graph \d+: not, or no longer, there"):
        _cuda.launch(graph, stream)


def test_a_context_is_not_dropped_while_it_computes(ready: Context, stream: Any, gpu: Device) -> None:
    ready.execute(stream)
    del ready.of_vendor
    assert gpu.misuses == ["a context is dropped before the host knows that its work is done"]
    with pytest.raises(Misuse, match="the context is gone"):
        _cuda.finish(stream)


def test_two_threads_do_not_use_one_context_at_once(ready: Context, stream: Any, gpu: Device) -> None:
    def use() -> None:
        for _ in range(50):
            try:
                ready.execute(stream)
            except Misuse:
                return

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "two threads use one execution context at once" in gpu.misuses


def test_streams_in_no_order_do_not_share_memory(context: Context, stream: Any) -> None:
    context.give_memory()
    context.give_shapes()
    context.give_addresses()
    with pytest.raises(Misuse, match="use the same memory in no order"):
        context.execute(stream)


def test_results_are_not_read_by_a_stream_that_does_not_wait_for_them(ready: Context, stream: Any) -> None:
    ready.execute(stream)
    with pytest.raises(Misuse, match="use the same memory in no order"):
        _ = ready.buffers["eps"] + ready.buffers["x_t"]
    follow(0, stream)
    _ = ready.buffers["eps"] + ready.buffers["x_t"]


def test_arrays_are_not_given_back_while_another_stream_uses_them(
    ready: Context, stream: Any, gpu: Device
) -> None:
    ready.execute(stream)
    del ready.buffers["x_t"]
    assert gpu.misuses == ["device memory is freed while a stream may still use it"]


def test_the_host_does_not_see_arrays_on_the_device(gpu: Device) -> None:
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(_cupy.empty(SHAPE))


@pytest.mark.parametrize(("size", "offset"), [(SIZE + 1, 0), (SIZE, 4)])
def test_copies_end_where_memory_does(size: int, offset: int, gpu: Device, stream: Any) -> None:
    source, target = _cupy.empty(SHAPE), _cupy.empty(SHAPE)
    with pytest.raises(Misuse, match="not, or no longer, allocated"):
        _cuda.copy_on_device(_cupy.pointer(target) + offset, _cupy.pointer(source), size, stream)


def test_copies_go_where_their_kind_says(gpu: Device, stream: Any) -> None:
    array, pinned = _cupy.pointer(held := _cupy.empty(SHAPE)), _cuda.allocate_host(SIZE)
    for copy, target, source in (
        (_cuda.copy_to_host, array, pinned), (_cuda.copy_to_device, pinned, array),
        (_cuda.copy_on_device, array, pinned),
    ):  # fmt: skip
        with pytest.raises(Misuse, match="does not fit the memory"):
            copy(target, source, SIZE, stream)
    assert held.nbytes == SIZE


def test_copies_take_page_locked_memory_only(gpu: Device, stream: Any) -> None:
    array, values = _cupy.empty(SHAPE), np.zeros(SHAPE, np.float32)
    with pytest.raises(Misuse, match="not, or no longer, allocated"):
        _cuda.copy_to_device(_cupy.pointer(array), values.ctypes.data, SIZE, stream)


def test_copies_are_made_when_something_waits_for_them(gpu: Device) -> None:
    array, address = _cupy.empty(SHAPE), _cuda.allocate_host(SIZE)
    pinned = gpu.values((address, SIZE)).view(np.float32)
    pinned[:] = 1
    _cuda.copy_to_device(_cupy.pointer(array), address, SIZE, 0)
    pinned[:] = 2  # too early, and so what is copied
    assert (_cupy.download(array) == 2).all()


def test_page_locked_memory_is_freed_once_and_after_its_copies(gpu: Device) -> None:
    array, address = _cupy.empty(SHAPE), _cuda.allocate_host(SIZE)
    _cuda.copy_to_device(_cupy.pointer(array), address, SIZE, 0)
    _cuda.free_host(address)
    assert gpu.misuses == ["host memory is freed while a stream may still use it"]
    with pytest.raises(Misuse, match="freed before"):
        _cuda.free_host(address)


def test_a_stream_that_captures_is_not_waited_for(gpu: Device, stream: Any) -> None:
    for call in (lambda: _cuda.finish(stream), lambda: _cuda.record(_cuda.create_event(), stream),
                 lambda: _cuda.order(_cuda.create_event(), stream)):  # fmt: skip
        with pytest.raises(Misuse, match="captures a graph"):
            _cuda.capture(stream, call)


def test_the_null_stream_captures_nothing(gpu: Device) -> None:
    with pytest.raises(Misuse, match="stream 0 cannot capture"):
        _cuda.capture(0, lambda: None)


def test_streams_that_the_null_stream_waits_for_are_refused(gpu: Device) -> None:
    with pytest.raises(Misuse, match="no graph can be captured"):
        sys.modules["cuda.bindings.runtime"].cudaStreamCreateWithFlags(0)


def test_what_was_destroyed_is_not_used(gpu: Device, stream: Any) -> None:
    event = _cuda.create_event()
    _cuda.destroy_event(event)
    with pytest.raises(Misuse, match=r"event \d+: not, or no longer"):
        _cuda.record(event, stream)
    _cuda.destroy_stream(stream)
    with pytest.raises(Misuse, match=r"stream \d+: not, or no longer"):
        _cuda.finish(stream)


@pytest.mark.parametrize("data", [b"", b"no engine", b'["tensorrt_rtx", "1x4x4,1x4x4,1x4x4"]\nmodel'])
def test_what_is_no_engine_file_of_the_family_becomes_none(data: bytes, gpu: Device) -> None:
    trt = load(TENSORRT)
    assert trt.Runtime(logger(trt)).deserialize_cuda_engine(data) is None
