"""The server, as clients of the Open Inference Protocol and plain HTTP use it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, shared_memory

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.errors import EngineError
from baikal_deploy.live import LiveDenoiser
from baikal_deploy.live.timed import TimedEngine
from baikal_deploy.pixels.arrays import Planes
from baikal_deploy.serve import Address, Limits, serve_page
from baikal_deploy.serve.protocol import DATATYPES, SegmentRequest
from baikal_deploy.serve.refusal import Refused
from baikal_deploy.serve.shared import MOST, Segments
from baikal_deploy.serve.tensors import parse
from tests.gate import WAIT, Gate
from tests.serving import INFER, Reply, Served, ask, head_of, hung_up, infer, message, raw, served, until

SHARED = Path("/dev/shm")
needs_shared_memory = pytest.mark.skipif(not SHARED.is_dir(), reason="POSIX shared memory is no folder here")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(Limits(largest=8, shared_memory=SHARED if SHARED.is_dir() else None, streams=99)) as made:
        yield made


@pytest.fixture
def client(server: Served) -> Iterator[Any]:
    client = triton.InferenceServerClient(server.host, concurrency=8)
    yield client
    client.close()


def tensor(frame: np.ndarray, **how: Any) -> Any:
    datatype = {dtype: name for name, dtype in DATATYPES.items()}["<" + frame.dtype.str[1:]]
    made = triton.InferInput("frame", list(frame.shape), datatype)
    made.set_data_from_numpy(frame, **how)
    return made


def looks_denoised(result: np.ndarray, frame: np.ndarray) -> bool:
    """The same picture, type and shape, with less noise."""
    assert (result.dtype, result.shape) == (frame.dtype, frame.shape)
    fine = [np.abs(np.diff(image.astype(float), axis=-1)).mean() for image in (result, frame)]
    near = np.isclose(result.mean(), frame.mean(), rtol=0.2)
    return bool(near and fine[0] < 0.8 * fine[1])


def test_client_reads_what_the_server_is(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("nuclei")
    assert client.is_model_ready("nuclei", "1")
    assert not client.is_model_ready("flywing")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    found = client.get_model_metadata("nuclei")
    assert (found["inputs"][0]["name"], found["outputs"][0]["name"]) == ("frame", "denoised")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_client_gets_its_frame_denoised(
    binary_in: bool, binary_out: bool | None, client: Any, counts: np.ndarray
) -> None:
    outputs = None
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput("denoised", binary_data=binary_out)]
    inputs = [tensor(counts[0], binary_data=binary_in)]
    answer = client.infer("nuclei", inputs, outputs=outputs, request_id="7", parameters={"channel": "a"})
    assert answer.get_response()["id"] == "7"
    assert answer.get_response()["parameters"]["evaluations"] == 1
    assert looks_denoised(answer.as_numpy("denoised"), counts[0])


@pytest.mark.parametrize("datatype", list(DATATYPES))
def test_every_pixel_type_comes_back_as_it_went(datatype: str, client: Any, counts: np.ndarray) -> None:
    frame = (counts[0] / counts[0].max() * 120).astype(DATATYPES[datatype])
    answer = client.infer("nuclei", [tensor(frame)], parameters={"channel": datatype})
    assert looks_denoised(answer.as_numpy("denoised"), frame)


def test_the_frame_is_denoised_as_python_denoises_it(counts: np.ndarray) -> None:
    eight = [*counts, *counts, *counts[:2]]
    with served() as own:
        for frame in eight:
            infer(own.host, frame)
        until(lambda: infer(own.host, counts[0]).status == 200 and own.live.statistics.settled)
        found = infer(own.host, counts[1]).frame
    with Denoiser.load(engine="analytic") as reference:
        sampler = make_sampler("matched", {}, {})
        recipe = reference.recipe(sampler, reference.measure(eight, sampler), 0)
        expected = reference.run(recipe, Stack(counts[1:2], [0])).planes
    np.testing.assert_array_equal(found, expected[0])


def test_several_frames_in_one_request(client: Any, counts: np.ndarray) -> None:
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput("denoised", binary_data=binary)]
        answer = client.infer("nuclei", [tensor(counts)], outputs=outputs, parameters={"channel": "a"})
        assert looks_denoised(answer.as_numpy("denoised"), counts)


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
    answer = client.infer("nuclei", [in_region(stack, memory)], outputs=outputs, parameters=parameters)
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
    fails("is not registered", client.infer, "nuclei", [in_region(counts[0], memory)])
    fails("is not registered", client.get_system_shared_memory_status, name)
    register(name, name, size)
    fails("registered already", register, name, name, size)
    fails("from 2 on are asked for", client.infer, "nuclei", [in_region(counts[0], memory, 2)])
    outputs = [to_region(size, memory, 2)]
    fails("from 2 on are asked for", client.infer, "nuclei", [tensor(counts[0])], outputs=outputs)
    os.truncate(SHARED / name, 100)  # as a client that ends, or means harm
    fails("has become shorter", client.infer, "nuclei", [in_region(counts[0], memory)])
    outputs = [to_region(size, memory, 0)]
    fails("has become shorter", client.infer, "nuclei", [tensor(counts[0])], outputs=outputs)
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


def test_eight_clients_at_once(server: Served, counts: np.ndarray) -> None:
    def one(number: int) -> list[Reply]:
        frame = counts[0] + np.uint16(100 * number)
        replies = []
        while len(replies) < 5:
            reply = infer(server.host, frame, channel=number)
            if reply.status == 503:  # eight wait and one is in work: hardly ever
                time.sleep(0.05)
                continue
            replies.append(reply)
        return replies

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    for number, replies in enumerate(answers):
        for reply in replies:
            # Nobody gets the frame of somebody else.
            assert reply.frame.mean() == pytest.approx(counts[0].mean() + 100 * number, abs=40)


def test_a_full_queue_is_told_and_counted(gate: Gate, counts: np.ndarray) -> None:
    with served(queue=1) as own, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(infer, own.host, counts[0])]
        assert gate.entered.acquire(timeout=WAIT)
        waiting.append(pool.submit(infer, own.host, counts[0]))
        until(lambda: own.live.statistics.waiting == 2)
        refused = infer(own.host, counts[0])
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "dropped" in refused.error
        gate.open_for_all()
        assert [one.result().status for one in waiting] == [200, 200]
        assert (own.live.statistics.done, own.live.statistics.dropped) == (2, 1)


def test_a_frame_that_nobody_waits_for_any_more_is_not_denoised(gate: Gate, counts: np.ndarray) -> None:
    with served() as own, ThreadPoolExecutor(1) as pool:
        first = pool.submit(infer, own.host, counts[0])
        assert gate.entered.acquire(timeout=WAIT)
        late = infer(own.host, counts[0], timeout=50_000)
        assert late.status == 504
        assert "50000 microseconds" in late.error
        gate.open_for_all()
        assert first.result().status == 200
        until(lambda: own.live.statistics.waiting == 0)
        assert (own.live.statistics.done, own.live.statistics.dropped) == (1, 1)


def test_a_timeout_of_0_is_none(server: Served, counts: np.ndarray) -> None:
    assert infer(server.host, counts[0], timeout=0).status == 200


def test_a_network_that_fails(monkeypatch: pytest.MonkeyPatch, counts: np.ndarray) -> None:
    failures = [EngineError("out of memory"), ZeroDivisionError("a bug")]
    predict = TimedEngine._predict

    def failing(engine: TimedEngine, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        if failures and threading.current_thread().name == "baikal-live":
            raise failures.pop(0)
        return predict(engine, x_t, t)

    with served() as own:
        infer(own.host, counts[0])
        until(lambda: own.live.statistics.waiting == 0)
        monkeypatch.setattr(TimedEngine, "_predict", failing)
        found = [infer(own.host, counts[0], channel="b") for _ in range(3)]
    assert [one.status for one in found] == [500, 500, 200]
    assert found[0].error == "out of memory"
    assert found[1].error == "the server failed; its log says how"


def test_streams_are_bounded(counts: np.ndarray) -> None:
    with served(Limits(streams=2)) as own:
        assert [infer(own.host, counts[0], channel=one).status for one in ("a", 1, "1", "a")] == [200] * 4
        refused = infer(own.host, counts[0], channel="c")
        assert refused.status == 400
        assert "2 channels" in refused.error
        assert infer(own.host, counts[0].astype("f4"), channel="a").status == 400
        assert infer(own.host, counts[0], channel="a").status == 200


def test_a_wrong_request_takes_no_stream(counts: np.ndarray) -> None:
    body, headers = message(counts[0], channel="wrong")
    with served(Limits(streams=1)) as own:
        assert ask(own.host, "POST", INFER, body[:-1], headers).status == 400
        assert infer(own.host, counts[0], channel="right").status == 200


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"inputs": []}, 400, "inputs"),
        ({"inputs": 3}, 400, "inputs"),
        ({"name": "image"}, 400, "inputs.0.name"),
        ({"datatype": "BYTES"}, 400, "inputs.0.datatype"),
        ({"shape": [80]}, 400, "inputs.0.shape: must be [H, W] or [N, H, W]"),
        ({"shape": [1, 1, 96, 80]}, 400, "inputs.0.shape: must be [H, W] or [N, H, W]"),
        ({"shape": [0, 80]}, 400, "inputs.0.shape.0"),
        ({"shape": [2**40, 2**40]}, 400, "inputs.0.shape.0"),
        ({"shape": [2**30, 2**30]}, 413, "a request has at most"),
        ({"shape": [9, 96, 80]}, 400, "the queue holds 8"),
        ({"shape": [96, 81]}, 400, "15552 bytes"),
        ({"parameters": {"binary_data_size": 5}}, 400, "binary_data_size says 5"),
        ({"parameters": {"binary_size": 5}}, 400, "inputs.0.parameters.binary_size"),
        ({"parameters": {}}, 400, "give either"),
        ({"data": [1]}, 400, "give either"),
        ({"request": {"chanel": "a"}}, 400, "parameters.chanel: is not known"),
        ({"request": {"channel": ""}}, 400, "parameters.channel"),
        ({"request": {"channel": 10**100}}, 400, "parameters.channel"),
        ({"request": {"timeout": -1}}, 400, "parameters.timeout"),
        ({"outputs": [{"name": "x"}]}, 400, "outputs.0.name"),
        ({"outputs": [{"name": "denoised", "parameters": {"classification": 3}}]}, 400, "classification"),
    ],
)
def test_requests_that_are_wrong(
    change: dict[str, Any], status: int, text: str, server: Served, counts: np.ndarray
) -> None:
    body, headers = message(counts[0])
    length = int(headers["Inference-Header-Content-Length"])
    asked = json.loads(body[:length])
    for name, value in change.items():
        if name == "request":
            asked["parameters"] |= value
        elif name in ("inputs", "outputs"):
            asked[name] = value
        else:
            asked["inputs"][0][name] = value
    before = server.live.statistics.submitted
    text_ = json.dumps(asked).encode()
    headers["Inference-Header-Content-Length"] = str(len(text_))
    reply = ask(server.host, "POST", INFER, text_ + body[length:], headers)
    assert reply.status == status, reply.body
    assert text in reply.error
    assert len(reply.error) < 200
    assert server.live.statistics.submitted == before


@pytest.mark.parametrize(
    ("data", "datatype", "text"),
    [
        ([[1, 2], [3]], "UINT16", "as shape [2, 2] has them"),
        ([[1], [2, 3, 4]], "UINT16", "as shape [2, 2] has them"),
        ([[1, 2], 3, 4], "UINT16", "as shape [2, 2] has them"),
        ([[[1], [2]], [[3], [4]]], "UINT16", "must be numbers"),
        ([], "UINT16", "0 numbers"),
        ([1, 2, 3, True], "UINT16", "must be numbers"),
        ([1, 2, 3], "UINT16", "3 numbers"),
        (["1", "2", "3", "4"], "UINT16", "must be numbers"),
        ([True, 2, 3, None], "UINT16", "must be numbers"),
        ([1, 2, 3, 65536], "UINT16", "has not"),
        ([1, 2, 3, -1], "UINT64", "has not"),
        ([1, 2, 3, 2.5], "UINT8", "has not"),
        ([1, 2, 3, 10**30], "UINT64", "has not"),
        ([1, 2, 3, 10**400], "FP32", "has not"),
        ([1, 2, 3, 1e5], "FP16", "has not"),
    ],
)
def test_numbers_that_are_wrong(data: Any, datatype: str, text: str, server: Served) -> None:
    asked = {"inputs": [{"name": "frame", "datatype": datatype, "shape": [2, 2], "data": data}]}
    reply = ask(server.host, "POST", INFER, json.dumps(asked))
    assert (reply.status, text in reply.error) == (400, True), reply.error


def test_numbers_are_not_kept_as_objects() -> None:
    asked = {"inputs": [{"name": "frame", "datatype": "UINT16", "shape": [1, 2], "data": [1, 2]}]}
    request, pixels = parse(np.frombuffer(json.dumps(asked).encode(), np.uint8), None)
    assert request.frames.data is None
    assert pixels.tobytes() == bytes([1, 0, 2, 0])


def test_nan_cannot_go_back_as_json(server: Served, counts: np.ndarray) -> None:
    frame = counts[0].astype(np.float32)
    frame[0, 0] = np.nan
    assert np.isnan(infer(server.host, frame).frame[0, 0])
    refused = infer(server.host, frame, binary_data_output=False)
    assert refused.status == 400
    assert "not finite" in refused.error


def test_a_large_result_as_json_is_refused_before_the_work(server: Served) -> None:
    refused = infer(server.host, np.zeros((1025, 1024), np.uint8), binary_data_output=False)
    assert refused.status == 400
    assert "ask for binary_data_output" in refused.error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/nuclei/versions/2/infer", 404),
        ("GET", "/v2/models/%00%ff", 404),
        ("GET", "/live.json?shown=x", 400),
    ],
)
def test_addresses_that_are_wrong(method: str, path: str, status: int, server: Served) -> None:
    reply = ask(server.host, method, path)
    assert reply.status == status
    assert reply.error
    assert reply.headers.get("allow") == ("POST" if status == 405 else None)
    if path in (INFER, "/v2/nothing"):
        assert reply.error.startswith(f"{method} {path}: ")


def test_a_length_of_the_json_that_is_missing(server: Served, counts: np.ndarray) -> None:
    refused = ask(server.host, "POST", INFER, message(counts[0])[0])
    assert refused.status == 400
    assert "if pixels follow the JSON, say with Inference-Header-Content-Length" in refused.error


def test_compressed_requests_are_refused(server: Served, counts: np.ndarray) -> None:
    assert infer(server.host, counts[0], {"Content-Encoding": "gzip"}).status == 415


@pytest.mark.parametrize("value", ["-1", "x", "1e3", "²", "9" * 30, "99999"])
def test_a_length_of_the_json_that_is_wrong(value: str, server: Served, counts: np.ndarray) -> None:
    body, headers = message(counts[0])
    headers["Inference-Header-Content-Length"] = value.encode("latin-1")  # type: ignore[assignment]
    reply = ask(server.host, "POST", INFER, body, headers)
    assert reply.status == 400
    assert reply.error


def test_what_is_too_large_is_refused_before_it_is_read(server: Served) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**40}\r\n\r\n"
    with raw(server.host, head.encode()) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    pieces = (bytes(2**20) for _ in range(9))  # of unknown length
    refused = ask(server.host, "POST", INFER, pieces)
    assert refused.status == 413
    assert "a request has at most 8388608 bytes" in refused.error


def test_too_many_large_requests_at_a_time_are_refused(counts: np.ndarray) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**20}\r\n\r\n"
    almost = head.encode() + bytes(2**20 - 1)
    with served(Limits(largest=1)) as own, ExitStack() as stack:

        def are_refused() -> bool:
            stack.close()
            for _ in range(8):
                stack.enter_context(raw(own.host, almost))
            time.sleep(0.2)  # a request that comes before them takes room from them
            return infer(own.host, counts[0]).status == 503

        until(are_refused)
        stack.close()
        until(lambda: infer(own.host, counts[0]).status == 200)


def test_a_client_that_goes_away_disturbs_nobody(server: Served, counts: np.ndarray) -> None:
    body, headers = message(counts[0])
    head = head_of(body, headers)
    for sent in (head, head + body[:9000], head + body):
        raw(server.host, sent).close()
    assert infer(server.host, counts[0]).status == 200


def test_slow_requests_end(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baikal_deploy.serve.body.SECONDS", 0.2)
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
    with raw(server.host, head.encode() + b"{") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_a_client_that_does_not_read_gives_its_room_back(
    monkeypatch: pytest.MonkeyPatch, counts: np.ndarray
) -> None:
    monkeypatch.setattr("baikal_deploy.serve.connection.PATIENCE", 1)
    monkeypatch.setattr("baikal_deploy.serve.body.TOGETHER", 2)
    frame = np.tile(counts[0], (20, 25))
    with served(Limits(largest=8)) as own:
        body, headers = message(frame)
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            address, port = own.host.split(":")
            lazy.connect((address, int(port)))
            lazy.sendall(head_of(body, headers) + body)
            until(lambda: own.live.statistics.done == 1)
            assert infer(own.host, frame).status == 503
            until(lambda: infer(own.host, frame).status == 200)


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("sent", [b"P", b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n"], ids=["word", "head"])
def test_a_client_that_does_not_ask_is_hung_up_on(
    sent: bytes, asked_before: bool, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.serve.connection.HEAD", 0.2)
    with raw(server.host, b"") as connection:
        if asked_before:
            connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(2**16).startswith(b"HTTP/1.1 200")
            time.sleep(0.1)
        connection.sendall(sent)
        assert hung_up(connection)


def test_a_client_that_says_nothing_is_hung_up_on(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baikal_deploy.serve.connection.HEAD", 0.2)
    with raw(server.host, b"") as connection:
        assert hung_up(connection)


def test_a_connection_may_rest_between_two_requests(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baikal_deploy.serve.connection.HEAD", 0.1)
    connection = http.client.HTTPConnection(server.host, timeout=WAIT)
    for _ in range(2):
        connection.request("GET", "/v2")
        assert connection.getresponse().read()
        time.sleep(0.3)
    connection.close()


def test_a_client_that_has_said_all_is_answered(server: Served, counts: np.ndarray) -> None:
    body, headers = message(counts[0])
    with raw(server.host, head_of(body, headers) + body) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(answer) > counts[0].nbytes
    with raw(server.host, head_of(body, headers) + body[:-1]) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(2**16) == b"", "of what is cut off there is nothing to be said"


def test_a_token_opens(counts: np.ndarray) -> None:
    with served(token="sesame") as own:
        right = {"Authorization": "Bearer sesame"}
        for path in ("/v2", "/v2/health/live", "/metrics", "/live.json"):
            for wrong in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "sesame"}):
                reply = ask(own.host, "GET", path, headers=wrong)
                assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
                assert "token" in reply.error
            for good in (right, {"Authorization": "bearer  sesame"}):  # schemes are in any case
                assert ask(own.host, "GET", path, headers=good).status == 200
        assert infer(own.host, counts[0]).status == 401
        assert infer(own.host, counts[0], right).status == 200
        assert own.live.statistics.submitted == 1
        assert ask(own.host, "GET", "/").status == 200


def test_a_page_of_somebody_else_may_not_ask(server: Served, counts: np.ndarray) -> None:
    port = server.host.split(":")[1]
    for wrong in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert infer(server.host, counts[0], wrong).status == 403
    for right in ({"Host": f"localhost:{port}"}, {"Host": "[::1]:1"}, {"Origin": f"http://127.0.0.1:{port}"}):
        assert infer(server.host, counts[0], right).status == 200


def test_prometheus_reads_what_became_of_the_frames(counts: np.ndarray, gate: Gate) -> None:
    with served(queue=2) as own, ThreadPoolExecutor(1) as pool:
        first = pool.submit(infer, own.host, counts[0])
        assert gate.entered.acquire(timeout=WAIT)
        assert infer(own.host, counts[:2], timeout=1000).status == 504
        gate.open_for_all()
        assert first.result().status == 200
        until(lambda: "latency_seconds_count 1.0" in ask(own.host, "GET", "/metrics").body.decode())
        lines = ask(own.host, "GET", "/metrics").body.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    found = {name: float(values[f"baikal_{name}"]) for name in EXPECTED}
    assert found == EXPECTED
    assert 0 < float(values["baikal_engine_share"]) <= 1
    assert float(values["baikal_frame_latency_seconds_sum"]) > 0


EXPECTED = {
    "frames_submitted_total": 3,
    'frames_total{outcome="done"}': 1,
    'frames_total{outcome="dropped"}': 2,
    'frames_total{outcome="failed"}': 0,
    "frames_waiting": 0,
    "queue_size": 2,
    'frame_latency_seconds_bucket{le="+Inf"}': 1,
}


def test_a_page_that_is_closed_leaves_no_thread() -> None:
    def watching() -> int:
        return sum(thread.name == "baikal-watch" for thread in threading.enumerate())

    with LiveDenoiser(engine="analytic") as live:
        before = watching()
        with serve_page(live, Address(port=0)) as page, urllib.request.urlopen(f"{page.url}/metrics"):
            assert watching() == before + 1
        deadline = time.monotonic() + WAIT
        while watching() > before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
