"""Requests that the server refuses: wrong, too large, or not allowed, each with a reason."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from baikal_deploy.serve import Limits
from baikal_deploy.serve.tensors import parse
from tests.serving import INFER, Served, ask, infer, message, raw, served, until


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
        ("POST", "/v2/models/general/versions/2/infer", 404),
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
