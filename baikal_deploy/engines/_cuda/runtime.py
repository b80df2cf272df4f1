"""CUDA through cuda-python: streams, events, copies and graphs. The only file that imports it.

Everything happens on device 0 of those that CUDA_VISIBLE_DEVICES shows. Streams, events and graphs
are handles of CUDA's, addresses are ints. Whatever CUDA reports as failed is an EngineError, which
names the call; that may be a later call than the one that went wrong, since the GPU works behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baikal_deploy.errors import EngineError, EngineUnavailable
from baikal_deploy.host.extras import install

SUCCESS, OUT_OF_MEMORY, DRIVER_TOO_OLD, NO_DEVICE = 0, 2, 35, 100
"""Numbers of cudaError_t. CUDA calls a driver too old also where there is none at all."""
DRIVER = "for CUDA 13 (R580 or later)"
LESS_MEMORY = (
    "choose a smaller tile or batch (--tile, --batch), cut planes into smaller regions (--memory 2GB, say), "
    "or close other programs on the GPU"
)
"""What helps where a GPU has too little memory."""


@dataclass(frozen=True)
class Gpu:
    """A graphics card.

    Attributes:
        name: what NVIDIA calls it.
        compute_capability: such as 89 for 8.9.
    """

    name: str
    compute_capability: int

    def __str__(self) -> str:
        return f"{self.name} (SM {self.compute_capability})"


def check(name: str, extra: str) -> None:
    """Raise EngineUnavailable unless cuda-python is installed and finds a driver and a GPU.

    Args:
        name: of the engine that needs it.
        extra: of this package, that installs cuda-python.
    """
    try:
        runtime = _runtime()
    except ImportError as error:
        raise EngineUnavailable(
            f"engine {name}: cuda-python is not installed or cannot be loaded ({error})",
            install(extra),
        ) from error
    code, _ = runtime.cudaGetDeviceCount()
    if code != SUCCESS:
        raise no_gpu(name, int(code), _words(code), runtime.cudaDriverGetVersion()[1])


def no_gpu(name: str, code: int, words: str, driver: int) -> EngineUnavailable:
    """The error that says why CUDA cannot be used here.

    Args:
        name: of the engine that needs it.
        code, words: what cudaGetDeviceCount ended with, and what CUDA says about that.
        driver: CUDA version of the driver as cudaDriverGetVersion gives it; 0 without a driver.
    """
    if code == DRIVER_TOO_OLD and not driver:
        return EngineUnavailable(
            f"engine {name}: no NVIDIA driver is installed", f"install the NVIDIA driver {DRIVER}"
        )
    if code == DRIVER_TOO_OLD:
        newest = f"{driver // 1000}.{driver % 1000 // 10}"
        return EngineUnavailable(
            f"engine {name}: the NVIDIA driver is for CUDA {newest} at most", f"update it to one {DRIVER}"
        )
    if code == NO_DEVICE:
        return EngineUnavailable(
            f"engine {name}: the NVIDIA driver finds no GPU",
            "run nvidia-smi; look at CUDA_VISIBLE_DEVICES, and start a container with its GPUs",
        )
    return EngineUnavailable(f"engine {name}: CUDA fails ({words})", "run nvidia-smi; restart the machine")


def gpu() -> Gpu:
    """The GPU that everything runs on."""
    properties = _done("cudaGetDeviceProperties", _runtime().cudaGetDeviceProperties(0))
    name = bytes(properties.name).partition(b"\0")[0].decode()
    return Gpu(name, 10 * properties.major + properties.minor)


def create_stream() -> Any:
    """A new stream: it waits for another one, and that for it, only where ``order`` says so."""
    runtime = _runtime()
    return _done(
        "cudaStreamCreateWithFlags", runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking)
    )


def destroy_stream(stream: Any) -> None:
    _done("cudaStreamDestroy", _runtime().cudaStreamDestroy(stream))


def finish(stream: Any) -> None:
    """Wait until all work of a stream is done."""
    _done("cudaStreamSynchronize", _runtime().cudaStreamSynchronize(stream))


def create_event() -> Any:
    runtime = _runtime()
    return _done("cudaEventCreateWithFlags", runtime.cudaEventCreateWithFlags(runtime.cudaEventDisableTiming))


def destroy_event(event: Any) -> None:
    _done("cudaEventDestroy", _runtime().cudaEventDestroy(event))


def record(event: Any, stream: Any) -> None:
    """Let the event stand for all work that the stream was given so far."""
    _done("cudaEventRecord", _runtime().cudaEventRecord(event, stream))


def order(event: Any, stream: Any) -> None:
    """Let the stream's later work wait for the event as it was last recorded."""
    _done("cudaStreamWaitEvent", _runtime().cudaStreamWaitEvent(stream, event, 0))


def wait(event: Any) -> None:
    """Wait for the event as it was last recorded; not at all, if it never was."""
    _done("cudaEventSynchronize", _runtime().cudaEventSynchronize(event))


def allocate_host(size: int) -> int:
    """Address of ``size`` page-locked bytes of the host: copies from and to them leave the host free."""
    return int(_done("cudaMallocHost", _runtime().cudaMallocHost(size)))


def free_host(address: int) -> None:
    _done("cudaFreeHost", _runtime().cudaFreeHost(address))


def copy_to_device(target: int, source: int, size: int, stream: Any) -> None:
    _copy(target, source, size, _runtime().cudaMemcpyKind.cudaMemcpyHostToDevice, stream)


def copy_to_host(target: int, source: int, size: int, stream: Any) -> None:
    _copy(target, source, size, _runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost, stream)


def copy_on_device(target: int, source: int, size: int, stream: Any) -> None:
    _copy(target, source, size, _runtime().cudaMemcpyKind.cudaMemcpyDeviceToDevice, stream)


def _copy(target: int, source: int, size: int, kind: Any, stream: Any) -> None:
    _done("cudaMemcpyAsync", _runtime().cudaMemcpyAsync(target, source, size, kind, stream))


def capture(stream: Any, work: Callable[[], None]) -> Any:
    """A graph of all that ``work`` gives the stream, which is not run by that.

    Raises:
        EngineError: something in it cannot be captured.
    """
    runtime = _runtime()
    # Other threads may allocate memory meanwhile, which a capture that watches them all would forbid.
    mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    _done("cudaStreamBeginCapture", runtime.cudaStreamBeginCapture(stream, mode))
    try:
        work()
    except BaseException:
        _, broken = runtime.cudaStreamEndCapture(stream)
        if broken is not None and int(broken):
            runtime.cudaGraphDestroy(broken)
        raise
    graph = _done("cudaStreamEndCapture", runtime.cudaStreamEndCapture(stream))
    try:
        return _done("cudaGraphInstantiate", runtime.cudaGraphInstantiate(graph, 0))
    finally:
        _done("cudaGraphDestroy", runtime.cudaGraphDestroy(graph))


def launch(graph: Any, stream: Any) -> None:
    _done("cudaGraphLaunch", _runtime().cudaGraphLaunch(graph, stream))


def destroy_graph(graph: Any) -> None:
    _done("cudaGraphExecDestroy", _runtime().cudaGraphExecDestroy(graph))


def _runtime() -> Any:
    from cuda.bindings import runtime

    return runtime


def _done(call: str, result: tuple[Any, ...]) -> Any:
    """Return the result of a call, unless it failed."""
    code, *values = result
    if code == SUCCESS:
        return values[0] if values else None
    message = f"CUDA: {call} failed ({_words(code)})"
    if code == OUT_OF_MEMORY:
        message += f"; {LESS_MEMORY}"
    raise EngineError(message)


def _words(code: Any) -> str:
    """CUDA's words for an error, such as "cudaErrorNoDevice: no CUDA-capable device is detected"."""
    runtime = _runtime()
    name, text = runtime.cudaGetErrorName(code)[1], runtime.cudaGetErrorString(code)[1]
    return f"{name.decode()}: {text.decode()}"
