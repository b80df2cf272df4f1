"""Running a network that TensorRT has loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._tensorrt import family as compat
from baikal_deploy.engines._tensorrt.compiled import CompiledKernels
from baikal_deploy.errors import EngineError

_log = logging.getLogger(__name__)


class Network:
    """A network on the GPU, and what all its evaluations share.

    Arguments:
        family, trt: whose it is, and the vendor's module.
        engine: the vendor's, deserialised.
        stream: that everything runs on, one after the other; so all evaluations can use the same
            memory for their intermediate results.

    Attributes:
        outputs: names of its outputs, "eps" first.
    """

    def __init__(self, family: compat.Family, trt: Any, engine: Any, stream: Any) -> None:
        self.family, self.stream = family, stream
        self._trt, self._engine = trt, engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        self.outputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
        self._size = engine.device_memory_size_v2
        self._memory = _cupy.empty((max(self._size, 1),), np.uint8)
        self._compiled: CompiledKernels | None = None
        self._config = self._runtime_config()

    def _runtime_config(self) -> Any:
        """Runtime settings: TensorRT for RTX compiles kernels for a shape when it first sees it.

        By default it does so in the background, and computes with others until then, so that results
        change in between; and it alone knows when a CUDA graph can be captured, so it does that too.
        """
        trt, config = self._trt, self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if self.family.portable:
            eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = eager
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            self._compiled = CompiledKernels(self.family, trt, config, _cuda.gpu())
        return config

    def keep(self) -> None:
        """Keep what was compiled for this GPU, when nothing computes any more."""
        if self._compiled is not None:
            self._compiled.keep()

    def context(self) -> Any:
        """A new execution context of the vendor's. Raises EngineError if there is no memory for it."""
        make = self._engine.create_execution_context
        context = self.insist("making an execution context", make, runtime_config=self._config)
        context.set_device_memory(_cupy.pointer(self._memory), self._size)
        return context

    def insist(self, what: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Return the result of a call.

        Raises:
            EngineError: it is False or None; with what the vendor logged.
        """
        compat.forget_errors(self._trt)
        if result := call(*args, **named):
            return result
        reason = compat.first_error(self._trt)
        raise EngineError(f"engine {self.family.name}: {what} failed ({reason})")


class Evaluation:
    """A network's evaluation at one shape: an execution context with buffers, and their CUDA graph.

    A graph is valid for the shape and the addresses that it was captured with, and as long as nothing
    else is done with its context; hence each shape has a context and buffers of its own, and values
    are copied into and out of these. (TensorRT's developer guide, "CUDA Graphs".) The first call runs
    without a graph, since work that TensorRT puts off until then must not be captured; the second
    call captures it.

    Not for several threads at once. Close it only when the stream is done.

    Arguments:
        network: to evaluate.
        shape: (N, 1, H, W) of the planes.
    """

    def __init__(self, network: Network, shape: tuple[int, ...]) -> None:
        self._network = network
        inputs = {"x_t": shape, "timesteps": shape[:1]}
        shapes = inputs | dict.fromkeys(network.outputs, shape)
        self._buffers = {name: _cupy.empty(one) for name, one in shapes.items()}
        self._context = network.context()
        for name, one in inputs.items():
            network.insist(f"giving {name} shape {one}", self._context.set_input_shape, name, one)
        for name, buffer in self._buffers.items():
            address = _cupy.pointer(buffer)
            network.insist(f"giving {name} an address", self._context.set_tensor_address, name, address)
        self._graph: Any = None
        self._warm, self._capturable = False, not network.family.portable

    def __call__(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Evaluate, on the network's stream.

        Args:
            inputs, outputs: contiguous CuPy arrays to read and to write.
        """
        stream = self._network.stream
        for name, array in inputs.items():
            _copy(array, self._buffers[name], stream)
        self._compute()
        for name, array in outputs.items():
            _copy(self._buffers[name], array, stream)

    def _compute(self) -> None:
        if self._graph is None and self._warm and self._capturable:
            self._capture()
        if self._graph is None:
            self._execute()
            self._warm = True
        else:
            _cuda.launch(self._graph, self._network.stream)

    def _capture(self) -> None:
        try:
            self._graph = _cuda.capture(self._network.stream, self._execute)
        except EngineError as error:
            self._capturable = False
            _log.warning("no CUDA graph, so that evaluations take longer: %s", error)

    def _execute(self) -> None:
        network = self._network
        network.insist("evaluation", self._context.execute_async_v3, int(network.stream))

    def close(self) -> None:
        """Free the graph before the context, and that before its buffers."""
        graph, self._graph = self._graph, None
        if graph is not None:
            _cuda.destroy_graph(graph)
        self._context = None
        self._buffers.clear()


def _copy(source: Any, target: Any, stream: Any) -> None:
    _cuda.copy_on_device(_cupy.pointer(target), _cupy.pointer(source), source.nbytes, stream)
