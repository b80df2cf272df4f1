"""Requests that are wrong in every way: each is answered, and the server outlives them all."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gate import WAIT
from tests.serving import INFER, Process, ask, infer, message

FRAME = np.arange(48, dtype=np.uint16).reshape(6, 8)
BODY, HEADERS = message(FRAME)
JSON_BYTES = int(HEADERS["Inference-Header-Content-Length"])
REGION = "/v2/systemsharedmemory/region/a/register"
ANSWERS = {200, 400, 403, 404, 405, 413, 415, 503, 504}
LARGEST = 1
GROWTH = 40e6
"""Bytes that a server may grow by: what its allocator keeps of the largest requests and of measuring them."""
DOUBTS = (
    "no noise was found",
    "the signal spans",
    "the mean of",
    "planes of one",
    "each row",
    "each column",
    "every other",
)
"""Beginnings of what is said of frames that are made up."""

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["frame", "denoised", "UINT16", "FP16", "BYTES", "a", "../a", 6, 8, 96])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)
keys = st.sampled_from(
    ["inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "id", "channel", "timeout",
     "binary_data", "binary_data_size", "binary_data_output", "shared_memory_region", "shared_memory_offset",
     "shared_memory_byte_size", "key", "offset", "byte_size"]
)  # fmt: skip


@st.composite
def damaged(draw: Any, part: Any) -> Any:
    """The JSON value with something in it replaced, added or left out."""
    if isinstance(part, dict) and part and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(part)) | keys)
        return {**part, key: draw(damaged(part.get(key)))}
    if isinstance(part, list | tuple) and part and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(part) - 1))
        return [*part[:place], draw(damaged(part[place])), *part[place + 1 :]]
    return draw(values)


@st.composite
def requests(draw: Any) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers."""
    asked = draw(damaged(json.loads(BODY[:JSON_BYTES])))
    text = json.dumps(asked).encode()
    kind = draw(st.sampled_from(["json", "json", "bytes", "cut", "region", "header"]))
    headers = {"Inference-Header-Content-Length": str(len(text))}
    body, path, method = text + BODY[JSON_BYTES:], INFER, "POST"
    if kind == "bytes":
        body = draw(st.binary(max_size=300))
        headers = {} if draw(st.booleans()) else headers
    elif kind == "cut":
        body, headers = BODY[: draw(st.integers(0, len(BODY)))], HEADERS
    elif kind == "region":
        body, path = json.dumps(draw(damaged({"key": "a", "offset": 0, "byte_size": 9}))).encode(), REGION
    elif kind == "header":
        body, headers = BODY, {draw(st.sampled_from(NAMES)): draw(st.text("0123456789-+ex, ", max_size=25))}
        path = draw(st.sampled_from([INFER, "/", "/live.json?shown=%ff", "/v2/models/%2e%2e/infer", "//v2"]))
        method = draw(st.sampled_from(["POST", "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"]))
    return method, path, body, headers


NAMES = ["Inference-Header-Content-Length", "Content-Encoding", "Expect", "Range", "Content-Type", "Accept"]


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    with Process("--engine", "analytic", "--largest", str(LARGEST)) as made:
        yield made
        made.popen.terminate()
        assert made.popen.wait(WAIT) == 0
        assert made.popen.stderr is not None
        told = [line for line in made.popen.stderr if not line.startswith(DOUBTS)]
        assert len(told) == 1, f"something was logged: {told}"


def send(process: Process, request: tuple[str, str, bytes, dict[str, str]]) -> None:
    method, path, body, headers = request
    reply = ask(process.host, method, path, body, headers)
    assert reply.status in ANSWERS, reply.body
    if reply.status >= 400 and method != "HEAD":
        assert reply.error


def send_bytes(process: Process, data: bytes) -> None:
    """To the socket; the server may answer or hang up."""
    host, port = process.host.split(":")
    with socket.create_connection((host, int(port)), timeout=WAIT) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = b"".join(iter(lambda: connection.recv(2**16), b""))
        except ConnectionResetError:
            return
    if answer:
        assert answer.startswith(b"HTTP/1.1 ")
        assert int(answer[9:12]) in ANSWERS


HEAD = (
    f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n"
    f"Inference-Header-Content-Length: {JSON_BYTES}\r\n\r\n"
).encode()
WHOLE = HEAD + BODY


@st.composite
def streams(draw: Any) -> bytes:
    """What is no HTTP, or is cut off."""
    place, length = draw(st.integers(0, len(WHOLE))), draw(st.integers(0, 40))
    return (
        WHOLE[:place] + draw(st.binary(max_size=40)) + draw(st.sampled_from([WHOLE[place + length :], b""]))
    )


def check(process: Process, examples: int) -> None:
    """So many wrong requests, and as many connections that are no HTTP every fifth time."""
    for _ in range(30):
        infer(process.host, FRAME)
    before = process.memory()
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

    @settings(max_examples=examples * 4 // 5, deadline=None, suppress_health_check=quiet, database=None)
    @given(requests())
    def requests_are_answered(request: tuple[str, str, bytes, dict[str, str]]) -> None:
        send(process, request)

    @settings(max_examples=examples // 5, deadline=None, suppress_health_check=quiet, database=None)
    @given(streams())
    def streams_are_survived(data: bytes) -> None:
        send_bytes(process, data)

    requests_are_answered()
    streams_are_survived()
    assert process.popen.poll() is None
    assert infer(process.host, FRAME, channel="after").status == 200
    assert process.memory() - before < GROWTH


def test_wrong_requests(process: Process) -> None:
    check(process, 400)


@pytest.mark.slow
def test_ten_thousand_wrong_requests(process: Process) -> None:
    check(process, 12_500)


def test_large_requests_leave_nothing_behind(process: Process) -> None:
    frame = np.tile(FRAME, (80, 100))
    assert infer(process.host, frame, channel="large").status == 200
    before = process.memory()
    for _ in range(60):
        assert ask(process.host, "POST", INFER, bytes(2 * 2**20)).status == 413
        assert infer(process.host, frame, channel="large", extra=1).status == 400
        assert infer(process.host, frame, channel="large").status == 200
    assert process.memory() - before < GROWTH


def test_text_in_the_place_of_pixels_takes_no_memory(process: Process) -> None:
    """As an array of NumPy, each would be as long as the longest."""
    infer(process.host, FRAME)
    data = ["a" * 2000, *[""] * 100_000]
    asked = {"inputs": [{"name": "frame", "datatype": "UINT16", "shape": [6, 8], "data": data}]}
    before = process.memory("VmHWM")
    assert "must be numbers" in ask(process.host, "POST", INFER, json.dumps(asked)).error
    assert process.memory("VmHWM") - before < 2 * GROWTH
