"""Arrays on the GPU through CuPy. The only file that imports it.

All work of CuPy goes to its current stream, in order; memory that an array gives back is used again
by later work of that stream only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.engines._cuda.runtime import LESS_MEMORY, no_gpu
from baikal_deploy.errors import EngineError, EngineUnavailable
from baikal_deploy.host.extras import install
from baikal_deploy.pixels.arrays import Planes


def check(engine_name: str, extra: str) -> None:
    """Raise EngineUnavailable unless CuPy is installed and finds a driver and a GPU.

    Args:
        engine_name: for the message.
        extra: of this package, that installs CuPy.
    """
    try:
        from cupy.cuda import runtime
    except ImportError as error:
        raise EngineUnavailable(
            f"engine {engine_name}: CuPy is not installed or cannot be loaded ({_one_line(error)})",
            install(extra),
        ) from error
    try:
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise no_gpu(engine_name, error.status, _one_line(error), runtime.driverGetVersion()) from error


def upload(planes: Planes) -> Planes:
    """NumPy planes as a contiguous CuPy array."""
    import cupy

    with _translated("the planes cannot be copied to the GPU"):
        array: Planes = cupy.asarray(np.ascontiguousarray(planes))
        return array


def download(array: Planes) -> Planes:
    """A CuPy array as a NumPy array, when everything that it waits for is done."""
    import cupy

    with _translated("the planes cannot be copied from the GPU"):
        planes: Planes = cupy.asnumpy(array)
        return planes


def empty(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> Planes:
    """A CuPy array, contiguous and not initialised."""
    import cupy

    with _translated(f"no memory for planes of shape {shape}"):
        array: Planes = cupy.empty(shape, dtype=dtype)
        return array


def full(count: int, value: float) -> Planes:
    """A float32 CuPy array of the same value ``count`` times."""
    import cupy

    with _translated(f"no memory for {count} numbers"):
        array: Planes = cupy.full(count, value, dtype=np.float32)
        return array


def contiguous(array: Planes) -> Planes:
    """The array itself, or a contiguous copy of a view.

    Raises:
        EngineError: not a CuPy array.
    """
    import cupy

    if not isinstance(array, cupy.ndarray):
        raise EngineError(
            f"planes in {type(array).__module__}.{type(array).__qualname__}, not on the GPU; "
            "pass them through the engine's upload"
        )
    with _translated("no memory for a contiguous copy"):
        copy: Planes = cupy.ascontiguousarray(array)
        return copy


def pointer(array: Planes) -> int:
    """Address of the first value of a CuPy array on the GPU."""
    on_device: Any = array
    return int(on_device.data.ptr)


def current_stream() -> int:
    """Handle of the stream that CuPy's work of this thread goes to."""
    import cupy

    return int(cupy.cuda.get_current_stream().ptr)


def finish() -> None:
    """Wait until all work of ``current_stream`` is done."""
    import cupy

    with _translated("work on the GPU failed"):
        cupy.cuda.get_current_stream().synchronize()


def free_bytes() -> int:
    """Bytes of the GPU's memory that arrays may still take."""
    import cupy

    with _translated("its memory cannot be told"):
        return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise CuPy's errors as EngineError: ``what`` failed."""
    from cupy.cuda.memory import OutOfMemoryError
    from cupy.cuda.runtime import CUDARuntimeError

    try:
        yield
    except OutOfMemoryError as error:
        raise EngineError(f"GPU: {what} ({_one_line(error)}); {LESS_MEMORY}") from error
    except CUDARuntimeError as error:
        raise EngineError(f"GPU: {what} ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
