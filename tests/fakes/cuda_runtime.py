"""cuda.bindings.runtime, as far as it is called."""
# ruff: noqa: N801, N802, N803, N815  # the vendor's names

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.fakes.device import NULL_STREAM, Device, Event, Stream, Work


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


KINDS = {1: ("device", "host"), 2: ("host", "device"), 3: ("device", "device")}
"""Kinds of target and source of each kind of copy."""


class Failure(Exception):
    """A call fails with this error."""


def call(function: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """A function of CUDA's from one that gives its value: counted, failing when asked to, and a tuple."""
    name, valued = function.__name__, function.__annotations__["return"] != "None"

    @functools.wraps(function)
    def called(self: Runtime, *args: Any) -> tuple[Any, ...]:
        device = self._device
        device.calls[name] += 1
        try:
            if name in device.failing:
                raise Failure(device.failing[name])
            with device.lock:
                value = function(self, *args)
        except Failure as failure:
            return (cudaError_t(failure.args[0]), *[None] * valued)
        return (cudaError_t.cudaSuccess, *[value] * valued)

    return called


class Runtime:
    """The module."""

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode
    cudaStreamNonBlocking = 1
    cudaEventDisableTiming = 2

    def __init__(self, device: Device) -> None:
        self._device = device

    @call
    def cudaGetErrorName(self, error: int) -> bytes:
        return cudaError_t(error).name.encode()

    @call
    def cudaGetErrorString(self, error: int) -> bytes:
        return b"what CUDA says"

    @call
    def cudaGetDeviceCount(self) -> int:
        if problem := self._device.problem:
            raise Failure(problem)
        return 1

    @call
    def cudaDriverGetVersion(self) -> int:
        return self._device.driver

    @call
    def cudaGetDeviceProperties(self, device: int) -> SimpleNamespace:
        major, minor = self._device.capability
        return SimpleNamespace(name=b"NVIDIA Fake 4090\0\0", major=major, minor=minor)

    @call
    def cudaStreamCreateWithFlags(self, flags: int) -> int:
        if flags != self.cudaStreamNonBlocking:
            raise self._device.misuse("a stream that the null stream waits for: no graph can be captured")
        handle = self._device.handle()
        self._device.streams[handle] = Stream(handle)
        return handle

    @call
    def cudaStreamDestroy(self, stream: int) -> None:
        self._device.catch_up(stream)
        del self._device.streams[stream]

    @call
    def cudaStreamSynchronize(self, stream: int) -> None:
        self._device.finish(stream)

    @call
    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> None:
        self._device.order(event, stream)

    @call
    def cudaEventCreateWithFlags(self, flags: int) -> int:
        handle = self._device.handle()
        self._device.events[handle] = Event()
        return handle

    @call
    def cudaEventDestroy(self, event: int) -> None:
        self._device.event(event)
        del self._device.events[event]

    @call
    def cudaEventRecord(self, event: int, stream: int) -> None:
        self._device.record(event, stream)

    @call
    def cudaEventSynchronize(self, event: int) -> None:
        self._device.wait(event)

    @call
    def cudaMallocHost(self, size: int) -> int:
        return self._device.allocate("host", size).address

    @call
    def cudaFreeHost(self, ptr: int) -> None:
        self._device.free(ptr)

    @call
    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: int) -> None:
        device, target, source = self._device, (dst, count), (src, count)
        if (device.block(target).kind, device.block(source).kind) != KINDS[kind]:
            raise device.misuse(f"{kind.name} does not fit the memory that is copied")
        to, values = device.values(target), device.values(source)
        device.enqueue(stream, Work(lambda: np.copyto(to, values), [source], [target]))

    @call
    def cudaStreamBeginCapture(self, stream: int, mode: cudaStreamCaptureMode) -> None:
        found = self._device.stream(stream)
        if stream == NULL_STREAM or found.captured is not None:
            raise self._device.misuse(f"stream {stream} cannot capture, or does so already")
        found.captured = []

    @call
    def cudaStreamEndCapture(self, stream: int) -> int:
        found = self._device.stream(stream)
        if found.captured is None:
            raise self._device.misuse(f"stream {stream} captures nothing")
        work, found.captured = found.captured, None
        if not self._device.capturable:
            raise Failure(cudaError_t.cudaErrorStreamCaptureInvalidated)
        handle = self._device.handle()
        self._device.graphs[handle] = work
        return handle

    @call
    def cudaGraphInstantiate(self, graph: int, flags: int) -> int:
        handle = self._device.handle()
        self._device.launchables[handle] = self._device.graphs[graph]
        return handle

    @call
    def cudaGraphDestroy(self, graph: int) -> None:
        del self._device.graphs[graph]

    @call
    def cudaGraphLaunch(self, graphExec: int, stream: int) -> None:
        if graphExec not in self._device.launchables:
            raise self._device.misuse(f"graph {graphExec}: not, or no longer, there")
        for work in self._device.launchables[graphExec]:
            self._device.enqueue(stream, work)

    @call
    def cudaGraphExecDestroy(self, graphExec: int) -> None:
        del self._device.launchables[graphExec]


def modules(device: Device) -> dict[str, Any]:
    """What takes the place of modules."""
    bindings, package = ModuleType("cuda.bindings"), ModuleType("cuda")
    bindings.runtime = Runtime(device)
    package.bindings = bindings
    return {"cuda": package, "cuda.bindings": bindings, "cuda.bindings.runtime": bindings.runtime}
