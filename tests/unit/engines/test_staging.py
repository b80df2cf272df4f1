"""Copies by way of page-locked memory, over a GPU that is none: it makes copies as late as it may."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from baikal_deploy.engines._cuda import arrays as _cupy
from baikal_deploy.engines._cuda import runtime as _cuda
from baikal_deploy.engines._cuda.staging import Staging
from baikal_deploy.errors import EngineError
from tests.fakes import Device, install

SIZE = 64
"""Bytes of a buffer: 16 numbers."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Device]:
    device = install(monkeypatch, tmp_path)
    yield device
    assert device.misuses == []


@pytest.fixture
def staging(gpu: Device) -> Iterator[Staging]:
    staging = Staging(SIZE)
    yield staging
    staging.close()
    assert gpu.live()["host"] == gpu.live()["events"] == 0


def numbers(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count, np.float32)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 32, 33, 100])
def test_arrays_of_any_length_go_up_and_come_down(count: int, staging: Staging) -> None:
    values, array, back = numbers(count), _cupy.empty((count,)), np.empty(count, np.float32)
    staging.upload(values, _cupy.pointer(array), 0)
    np.testing.assert_array_equal(_cupy.download(array), values)
    staging.download(_cupy.pointer(array), back, 0)
    np.testing.assert_array_equal(back, values)


def test_arrays_of_any_shape_and_dtype_are_copied(staging: Staging) -> None:
    values = np.arange(60, dtype=np.uint16).reshape(3, 1, 4, 5)
    array, back = _cupy.empty(values.shape, values.dtype), np.empty_like(values)
    staging.upload(values, _cupy.pointer(array), 0)
    staging.download(_cupy.pointer(array), back, 0)
    np.testing.assert_array_equal(back, values)


def test_uploads_do_not_wait_for_the_gpu_and_do_not_disturb_each_other(gpu: Device, staging: Staging) -> None:
    inputs = [numbers(16, seed) for seed in range(5)]
    arrays = [_cupy.empty((16,)) for _ in inputs]
    for values, array in zip(inputs[:2], arrays[:2], strict=True):
        staging.upload(values, _cupy.pointer(array), 0)
    assert len(gpu.streams[0].queue) >= 2, "both buffers should still be waiting to be copied"
    for values, array in zip(inputs[2:], arrays[2:], strict=True):
        staging.upload(values, _cupy.pointer(array), 0)
    for values, array in zip(inputs, arrays, strict=True):
        np.testing.assert_array_equal(_cupy.download(array), values)


def test_the_source_may_be_overwritten_after_an_upload(staging: Staging) -> None:
    values, array = numbers(24), _cupy.empty((24,))
    before = values.copy()
    staging.upload(values, _cupy.pointer(array), 0)
    values[:] = 0
    np.testing.assert_array_equal(_cupy.download(array), before)


def test_downloads_wait_for_what_the_stream_does(gpu: Device, staging: Staging) -> None:
    stream, source = _cuda.create_stream(), _cupy.upload(numbers(40))
    target, ready = _cupy.empty((40,)), _cuda.create_event()
    _cuda.record(ready, 0)
    _cuda.order(ready, stream)
    _cuda.copy_on_device(_cupy.pointer(target), _cupy.pointer(source), 160, stream)
    back = np.empty(40, np.float32)
    staging.download(_cupy.pointer(target), back, stream)
    np.testing.assert_array_equal(back, numbers(40))
    _cuda.destroy_event(ready)


def test_a_download_waits_for_uploads_of_other_streams(gpu: Device, staging: Staging) -> None:
    streams = [_cuda.create_stream() for _ in range(2)]
    source, target = _cupy.upload(numbers(32)), _cupy.empty((32,))
    for stream in streams:
        ready = _cuda.create_event()
        _cuda.record(ready, 0)
        _cuda.order(ready, stream)
        _cuda.destroy_event(ready)
    back = np.empty(32, np.float32)
    staging.upload(numbers(32, seed=1), _cupy.pointer(target), streams[0])
    staging.download(_cupy.pointer(source), back, streams[1])
    np.testing.assert_array_equal(back, numbers(32))
    np.testing.assert_array_equal(_cupy.download(target), numbers(32, seed=1))


def test_threads_share_it(gpu: Device, staging: Staging) -> None:
    def there_and_back(seed: int) -> bool:
        gpu.use_own_stream()
        values, array, back = numbers(50, seed), _cupy.empty((50,)), np.empty(50, np.float32)
        staging.upload(values, _cupy.pointer(array), _cupy.current_stream())
        staging.download(_cupy.pointer(array), back, _cupy.current_stream())
        return np.array_equal(back, values)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(64)))


def test_close_waits_for_copies(gpu: Device) -> None:
    staging, array = Staging(SIZE), _cupy.empty((32,))
    staging.upload(numbers(32), _cupy.pointer(array), 0)
    staging.close()
    np.testing.assert_array_equal(_cupy.download(array), numbers(32))


@pytest.mark.parametrize("call", ["cudaMallocHost", "cudaEventCreateWithFlags"])
def test_nothing_is_left_behind_when_it_cannot_be_made(call: str, gpu: Device) -> None:
    gpu.failing[call] = 2
    with pytest.raises(EngineError, match=rf"{call} failed \(cudaErrorMemoryAllocation"):
        Staging(SIZE)
    assert not any(gpu.live().values())
