"""Frames that a client and the server share in memory, and segments that are wrong or gone."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, shared_memory

from baikal_deploy.serve import Limits
from baikal_deploy.serve.protocol import SegmentRequest
from baikal_deploy.serve.refusal import Refused
from baikal_deploy.serve.shared import MOST, Segments
from tests.capabilities import require
from tests.e2e.inference import SHARED, looks_denoised, needs_shared_memory, tensor
from tests.serving import Served, ask, served


@pytest.fixture
def region() -> Iterator[Callable[[int], Any]]:
    made: list[Any] = []

    def make(size: int) -> Any:
        name = f"baikal-{uuid.uuid4().hex}"
        made.append(shared_memory.create_shared_memory_region(name, f"/{name}", size))
        return made[-1]

    yield make
    for one in made:
        shared_memory.destroy_shared_memory_region(one)


def name_of(region: Any) -> str:
    return str(region._triton_shm_name)


def in_region(frame: np.ndarray, region: Any, offset: int = 0) -> Any:
    made = triton.InferInput("frame", list(frame.shape), "UINT16")
    made.set_shared_memory(name_of(region), frame.nbytes, offset)
    return made


def to_region(size: int, region: Any, offset: int) -> Any:
    made = triton.InferRequestedOutput("denoised")
    made.set_shared_memory(name_of(region), size, offset)
    return made


@needs_shared_memory
@pytest.mark.parametrize("frames", [1, 2])
def test_client_shares_memory(frames: int, client: Any, region: Any, counts: np.ndarray) -> None:
    stack = counts[:frames]
    size = stack.nbytes
    memory = region(100 + 2 * size)
    shared_memory.set_shared_memory_region(memory, [stack], offset=100)
    client.register_system_shared_memory(name_of(memory), f"/{name_of(memory)}", 2 * size, offset=100)
    (found,) = client.get_system_shared_memory_status(name_of(memory))
    assert (found["byte_size"], found["offset"]) == (2 * size, 100)
    outputs = [to_region(size, memory, size)]
    parameters = {"channel": "shared"}
    answer = client.infer("general", [in_region(stack, memory)], outputs=outputs, parameters=parameters)
    assert answer.get_output("denoised")["parameters"]["shared_memory_region"] == name_of(memory)
    assert "data" not in answer.get_output("denoised")
    result = shared_memory.get_contents_as_numpy(memory, np.uint16, stack.shape, 100 + size)
    assert looks_denoised(result.copy(), stack)
    assert (shared_memory.get_contents_as_numpy(memory, np.uint16, stack.shape, 100) == stack).all()
    client.unregister_system_shared_memory(name_of(memory))
    assert client.get_system_shared_memory_status() == []
    del result


@needs_shared_memory
def test_shared_memory_that_is_not_there(client: Any, region: Any, counts: np.ndarray) -> None:
    memory = region(2 * counts[0].nbytes)
    name, size = name_of(memory), counts[0].nbytes

    def fails(text: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> None:
        with pytest.raises(InferenceServerException, match=text):
            call(*arguments, **more)

    register = client.register_system_shared_memory
    fails("cannot be opened", register, "a", "/baikal-none", size)
    fails("must be the name of a file", register, "a", "/../etc/passwd", size)
    fails("must be the name of a file", register, "a", "..", size)
    fails("smaller than offset", register, name, name, size, size + 1)
    fails("byte_size", register, name, name, 0)
    fails("is not registered", client.infer, "general", [in_region(counts[0], memory)])
    fails("is not registered", client.get_system_shared_memory_status, name)
    register(name, name, size)
    fails("registered already", register, name, name, size)
    fails("from 2 on are asked for", client.infer, "general", [in_region(counts[0], memory, 2)])
    outputs = [to_region(size, memory, 2)]
    fails("from 2 on are asked for", client.infer, "general", [tensor(counts[0])], outputs=outputs)
    os.truncate(SHARED / name, 100)  # as a client that ends, or means harm
    fails("has become shorter", client.infer, "general", [in_region(counts[0], memory)])
    outputs = [to_region(size, memory, 0)]
    fails("has become shorter", client.infer, "general", [tensor(counts[0])], outputs=outputs)
    client.unregister_system_shared_memory()
    client.unregister_system_shared_memory(name)  # that is forgotten already


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    """A limit of the file's size stands for it: it takes a part, and refuses the rest."""
    resource = pytest.importorskip("resource")
    segments, size = Segments(tmp_path), 2**20
    with (tmp_path / "region").open("wb") as file:
        file.truncate(size)
    segments.register("a", SegmentRequest(key="region", byte_size=size))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        with pytest.raises(Refused, match="cannot be written"):
            segments.write("a", 0, [memoryview(bytes(size))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        segments.unregister(None)


def test_clients_that_end_without_a_word_leave_room_for_others(tmp_path: Path) -> None:
    segments = Segments(tmp_path)
    try:
        for number in range(MOST + 1):
            (tmp_path / f"{number}").write_bytes(b"a")
            segments.register(f"{number}", SegmentRequest(key=f"{number}", byte_size=1))
            if number % 2:
                (tmp_path / f"{number}").unlink()
        left = [one["name"] for one in segments.status(None)]
        assert left == [f"{number}" for number in range(0, MOST + 1, 2)]
        for number in range(MOST // 2 - 1):
            segments.register(f"again {number}", SegmentRequest(key="0", byte_size=1))
        with pytest.raises(Refused, match="64 are registered; unregister others first"):
            segments.register("one more", SegmentRequest(key="0", byte_size=1))
    finally:
        segments.unregister(None)


@needs_shared_memory
def test_what_is_no_file_is_not_shared(server: Served, tmp_path: Path) -> None:
    require("links", "fifos")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_bytes(b"secret")
    (tmp_path / "hard").hardlink_to(tmp_path / "elsewhere/secret")
    with served(Limits(shared_memory=tmp_path)) as own:
        for key in ("folder", "link", "fifo", "hard"):
            path = "/v2/systemsharedmemory/region/a/register"
            reply = ask(own.host, "POST", path, json.dumps({"key": key, "byte_size": 1}))
            assert reply.status == 400
            assert f"shared memory {key}" in reply.error
