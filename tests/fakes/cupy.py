"""CuPy, as far as it is called: arrays on a GPU that is none."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.lib.array_utils import byte_bounds

from tests.fakes.device import Device, Range, Work

BINARY = ("add", "sub", "mul", "truediv", "pow", "and", "or", "xor", "lshift", "rshift")
OTHERS = ("lt", "le", "gt", "ge", "eq", "ne", "neg")


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"error {status}")
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


class Owner:
    """Memory is given back when nothing holds its owner any more."""


class ndarray:  # noqa: N801  # CuPy's name
    """An array whose values the host does not see; it may be a view of another one's memory.

    Arguments:
        values: in the memory of the device.
        owner: keeps that memory.
    """

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    nbytes = property(lambda self: self._values.nbytes)
    data = property(lambda self: SimpleNamespace(ptr=int(self._values.ctypes.data)))
    device = "GPU 0"

    def __init__(self, values: np.ndarray, owner: object) -> None:
        self._values, self._owner = values, owner

    def copy(self) -> ndarray:
        return _lifted(self._device, np.copy)(self)

    def swapaxes(self, a: int, b: int) -> ndarray:
        return type(self)(self._values.swapaxes(a, b), self._owner)

    def __getitem__(self, key: Any) -> ndarray:
        found = self._values[key]
        if np.may_share_memory(found, self._values):
            return type(self)(found, self._owner)
        return _lifted(self._device, operator.getitem)(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _work(self._device, [value], [self])
        self._values[key] = _bare(value)

    def __array__(self, *args: Any, **named: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


def _operator(name: str, swapped: bool = False) -> Callable[..., ndarray]:
    plain = getattr(operator, name + "_" * (name in ("and", "or")))

    def method(self: ndarray, *others: Any) -> ndarray:
        return _lifted(self._device, plain)(*([*others, self] if swapped else [self, *others]))

    return method


for _name in BINARY + OTHERS:
    setattr(ndarray, f"__{_name}__", _operator(_name))
for _name in BINARY:
    setattr(ndarray, f"__r{_name}__", _operator(_name, swapped=True))


def _bare(value: Any) -> Any:
    """A value with NumPy's arrays instead of CuPy's."""
    if isinstance(value, ndarray):
        return value._values
    return [_bare(one) for one in value] if isinstance(value, list) else value


def _arrays(value: Any) -> list[ndarray]:
    if isinstance(value, list | tuple):
        return [array for one in value for array in _arrays(one)]
    return [value] if isinstance(value, ndarray) else []


def _place(array: ndarray) -> Range:
    first, end = byte_bounds(array._values)
    return first, max(end - first, 1)


def _work(device: Device, reads: Any, writes: Sequence[ndarray]) -> None:
    """Do what the current stream was given so far, and note what is touched after that."""
    places = [[_place(array) for array in _arrays(some)] for some in (reads, writes)]
    device.enqueue(device.current, Work(lambda: None, *places))
    device.catch_up(device.current)


def _new(device: Device, shape: tuple[int, ...], dtype: Any) -> ndarray:
    dtype = np.dtype(dtype)
    size = dtype.itemsize * int(np.prod(shape))
    if "cudaMalloc" in device.failing:
        raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
    block = device.allocate("device", size, device.current, dtype)
    values = block.bytes[:size].view(dtype).reshape(shape)
    owner = Owner()
    weakref.finalize(owner, device.give_back, block.address).atexit = False
    return device.array(values, owner)


def _lifted(device: Device, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's as one of CuPy's; ``device`` has only one value."""

    def lifted(*args: Any, device: Any = None, **named: Any) -> Any:
        _work(here, [*args, *named.values()], [])
        found = function(*map(_bare, args), **{name: _bare(value) for name, value in named.items()})
        if not isinstance(found, np.ndarray | np.generic):
            return found
        result = _new(here, found.shape, found.dtype)
        result[...] = found
        return result

    here = device
    return lifted


class Cupy(ModuleType):
    """The module: what is not written down here is NumPy's."""

    def __init__(self, device: Device) -> None:
        super().__init__("cupy")
        # A class of its own, since array_api_compat remembers the module of each class.
        self.ndarray = device.array = type("ndarray", (ndarray,), {"_device": device})
        self._device = device
        self.cuda = _cuda(device)

    def __getattr__(self, name: str) -> Any:
        found = getattr(xp, name)
        return _lifted(self._device, found) if callable(found) and not isinstance(found, type) else found

    def empty(self, shape: tuple[int, ...], dtype: Any = float) -> ndarray:
        return _new(self._device, shape, dtype)

    def get_default_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_bytes=lambda: 0)

    def ascontiguousarray(self, a: ndarray) -> ndarray:
        return a if a._values.flags.c_contiguous else a.copy()

    def asnumpy(self, a: ndarray) -> np.ndarray:
        self._device.finish(self._device.current)
        return a._values.copy()


def _cuda(device: Device) -> SimpleNamespace:
    def count() -> int:
        if problem := device.problem:
            raise CUDARuntimeError(problem)
        return 1

    def stream() -> SimpleNamespace:
        handle = device.current
        return SimpleNamespace(ptr=handle, synchronize=lambda: device.finish(handle))

    runtime = SimpleNamespace(
        getDeviceCount=count,
        driverGetVersion=lambda: device.driver,
        memGetInfo=lambda: (device.free_bytes, 2 * device.free_bytes),
        CUDARuntimeError=CUDARuntimeError,
    )
    return SimpleNamespace(
        get_current_stream=stream,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=runtime,
    )


def modules(device: Device) -> dict[str, Any]:
    """What takes the place of modules."""
    cupy = Cupy(device)
    return {
        "cupy": cupy, "cupy.cuda": cupy.cuda, "cupy.cuda.memory": cupy.cuda.memory,
        "cupy.cuda.runtime": cupy.cuda.runtime, "array_api_compat.cupy": cupy,
    }  # fmt: skip
