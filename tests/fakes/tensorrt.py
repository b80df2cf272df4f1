"""TensorRT and TensorRT for RTX, as far as loading and running engine files goes.

An engine file is the profile and the .onnx file that it was "built" from; ONNX Runtime computes it on
the CPU.
"""

from __future__ import annotations

import enum
import json
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime

from baikal_deploy.engines._tensorrt.profile import Profile
from tests.fakes.device import NULL_STREAM, Device, Range, Work

INTERMEDIATE = 1024
"""Bytes that an execution context needs for intermediate results."""


class TensorIOMode(enum.Enum):
    INPUT, OUTPUT = 1, 2


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC, USER_MANAGED = 0, 2


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY, EAGER = 0, 1


class CudaGraphStrategy(enum.Enum):
    DISABLED, WHOLE_GRAPH_CAPTURE = 0, 1


class ComputeCapability(enum.Enum):
    SM86, SM89 = 86, 89


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2


class IRuntimeConfig:
    __slots__ = ("_cache", "_strategy")

    def __init__(self) -> None:
        self._strategy = ExecutionContextAllocationStrategy.STATIC
        self._cache: IRuntimeCache | None = None

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self._strategy = strategy


class RtxRuntimeConfig(IRuntimeConfig):
    """What IRuntimeConfig of TensorRT for RTX has beside."""

    __slots__ = ("cuda_graph_strategy", "dynamic_shapes_kernel_specialization_strategy")

    def __init__(self) -> None:
        super().__init__()
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self._cache = cache
        return True


class IRuntimeCache:
    """Kernels that were compiled: one for each shape that an execution context was given."""

    def __init__(self) -> None:
        self._compiled: set[str] = set()

    def deserialize(self, blob: bytes) -> bool:
        found = blob.decode().splitlines()
        if not found or found[0] != "kernels":
            return False
        self._compiled |= set(found[1:])
        return True

    def serialize(self) -> bytes:
        return "\n".join(["kernels", *sorted(self._compiled)]).encode()


def engine_file(module: str, path: Path, profile: Profile) -> bytes:
    """What building the model at ``path`` would give."""
    return json.dumps([module, str(profile)]).encode() + b"\n" + path.read_bytes()


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        head, _, model = serialized_engine.partition(b"\n")
        try:
            module, profile = json.loads(head)
        except ValueError:
            module = "damaged"
        if module != self._module.__name__ or self._device.problem:
            self._logger.log(ILogger.ERROR, f"Error Code 1: Serialization (engine is {module})")
            return None
        return ICudaEngine(self._module, self._device, self._logger, Profile.parse(profile), model)


class ICudaEngine:
    device_memory_size_v2 = INTERMEDIATE

    def __init__(
        self, module: ModuleType, device: Device, logger: ILogger, profile: Profile, model: bytes
    ) -> None:
        self._module, self._device, self._logger, self._profile = module, device, logger, profile
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs + self._outputs)

    def get_tensor_name(self, index: int) -> str:
        return (self._inputs + self._outputs)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def create_runtime_config(self) -> IRuntimeConfig:
        return self._module.IRuntimeConfig()

    def create_execution_context(self, runtime_config: IRuntimeConfig) -> IExecutionContext | None:
        self._device.calls["context"] += 1
        if "context" in self._device.failing:
            self._logger.log(ILogger.ERROR, "Error Code 2: OutOfMemory (no memory for a context)")
            return None
        return IExecutionContext(self, runtime_config)


class IExecutionContext:
    """Refuses whatever the order set_input_shape, set_tensor_address, execute_async_v3 does not allow."""

    def __init__(self, engine: ICudaEngine, config: IRuntimeConfig) -> None:
        self._engine, self._device, self._config = engine, engine._device, config
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory: Range | None = None
        self._changes, self._runs = 0, 0
        self._lock = threading.Lock()
        self._uses: dict[int, int] = {}
        self._device.contexts += 1
        weakref.finalize(self, self._device.context_is_gone, self._uses).atexit = False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise self._device.misuse("two threads use one execution context at once")
        try:
            time.sleep(1e-4)  # lets another thread run into it
            yield
        finally:
            self._lock.release()

    def _refused(self, reason: str) -> bool:
        self._engine._logger.log(ILogger.ERROR, f"Error Code 3: API Usage Error ({reason})")
        return False

    def set_device_memory(self, memory: int, size: int) -> None:
        if self._config._strategy is not ExecutionContextAllocationStrategy.USER_MANAGED:
            raise self._device.misuse("the context has memory of its own")
        if size < INTERMEDIATE:
            raise self._device.misuse("not enough memory for intermediate results")
        self._device.block((memory, size))
        self._memory, self._changes = (memory, size), self._changes + 1

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        with self._alone():
            if name not in self._engine._inputs:
                return self._refused(f"{name} is no input")
            shape, profile = tuple(shape), self._engine._profile
            batch, height, width = (shape[0], *(shape[2:] or profile.min[1:]))
            if not profile.covers((batch, height, width)):
                return self._refused(f"{name}: {shape} does not satisfy the profile")
            self._shapes[name], self._changes = shape, self._changes + 1
            if self._config._cache is not None:
                self._config._cache._compiled.add(f"{name} {shape}")
            return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        with self._alone():
            if self._shapes.keys() != set(self._engine._inputs):
                raise self._device.misuse("an address is set before the shapes are")
            if name not in self._engine._inputs + self._engine._outputs:
                return self._refused(f"{name} is neither input nor output")
            self._addresses[name], self._changes = memory, self._changes + 1
            return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        with self._alone():
            stream, names = self._device.stream(stream_handle), self._engine._inputs + self._engine._outputs
            if stream.handle == NULL_STREAM:
                raise self._device.misuse("the default stream: every call would wait for the whole GPU")
            if self._memory is None:
                raise self._device.misuse("there is no memory for intermediate results")
            if self._addresses.keys() != set(names):
                raise self._device.misuse("not every input and output has an address")
            if stream.captured is not None and not self._runs:
                raise self._device.misuse("a graph is captured before the first run")
            if stream.captured is not None and self._native_graphs():
                raise self._device.misuse("a graph is captured of what captures graphs itself")
            self._device.enqueue(stream.handle, self._work())
            self._runs += stream.captured is None
            return True

    def _native_graphs(self) -> bool:
        chosen = getattr(self._config, "cuda_graph_strategy", CudaGraphStrategy.DISABLED)
        return chosen is CudaGraphStrategy.WHOLE_GRAPH_CAPTURE

    def _work(self) -> Work:
        places = {name: self._place(name) for name in self._addresses}
        inputs = [places[name] for name in self._engine._inputs]
        outputs = [places[name] for name in self._engine._outputs]
        alive, device, changes = weakref.ref(self), self._device, self._changes

        def run() -> None:
            context = alive()
            if context is None or context._changes != changes:
                raise device.misuse("the context is gone, or is no longer what it was when this was captured")
            context._compute(inputs, outputs)

        return Work(run, inputs, [*outputs, self._memory], self._uses)

    def _place(self, name: str) -> Range:
        shape = self._shapes.get(name, self._shapes["x_t"])
        place = self._addresses[name], 4 * int(np.prod(shape))
        if self._device.block(place).dtype != np.float32:
            raise self._device.misuse(f"the memory of {name} does not hold float32")
        return place

    def _compute(self, inputs: Sequence[Range], outputs: Sequence[Range]) -> None:
        feed = {
            name: self._device.values(place).view(np.float32).reshape(self._shapes[name])
            for name, place in zip(self._engine._inputs, inputs, strict=True)
        }
        for found, place in zip(self._engine._session.run(None, feed), outputs, strict=True):
            self._device.values(place).view(np.float32)[:] = self._rounded(found).reshape(-1)

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        """Kernels that are not made for this shape serve for a while, and round differently."""
        strategy = getattr(self._config, "dynamic_shapes_kernel_specialization_strategy", None)
        if strategy is DynamicShapesKernelSpecializationStrategy.LAZY and self._runs == 1:
            return values * np.float32(1.00001)
        return values


def module(device: Device, name: str, version: str) -> Any:
    """What takes the place of the module ``name``: "tensorrt" or "tensorrt_rtx"."""
    found = ModuleType(name)
    found.__version__ = version
    found.Runtime = type("Runtime", (Runtime,), {"_device": device, "_module": found})
    shared = ExecutionContextAllocationStrategy, ICudaEngine, IExecutionContext, ILogger, TensorIOMode
    for one in shared:
        setattr(found, one.__name__, one)
    found.IRuntimeConfig = IRuntimeConfig
    if name == "tensorrt_rtx":
        found.IRuntimeConfig = RtxRuntimeConfig
        for one in (
            ComputeCapability, CudaGraphStrategy, DynamicShapesKernelSpecializationStrategy, IRuntimeCache
        ):  # fmt: skip
            setattr(found, one.__name__, one)
    return found
