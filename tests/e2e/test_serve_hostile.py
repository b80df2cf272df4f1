"""Clients that mean harm, or are gone: nobody else is locked out, and nothing is done for them."""

from __future__ import annotations

import http.client
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import numpy as np
import pytest

from baikal_deploy.serve import Limits
from baikal_deploy.serve.connection import ADDRESS, CONNECTIONS
from tests.gate import WAIT, Gate
from tests.serving import INFER, Served, ask, head_of, hung_up, infer, message, raw, served, until

TOKEN = {"Authorization": "Bearer sesame"}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(Limits(largest=8)) as made:
        yield made


def answer(host: str, sent: bytes) -> bytes:
    """All that comes back until the server hangs up, or says nothing more."""
    with raw(host, sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def connect(host: str, source: str) -> socket.socket:
    """From one of the addresses of this machine."""
    address, port = host.split(":")
    return socket.create_connection((address, int(port)), timeout=WAIT, source_address=(source, 0))


def is_answered(connection: socket.socket) -> bool:
    """Asks what the server is."""
    connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    reply = b""
    while not reply.endswith(b"]}"):
        if not (piece := connection.recv(2**16)):
            return False
        reply += piece
    return reply.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", f"Content-Length: {2**20}"])
def test_slow_requests_take_only_the_room_of_what_has_come(framing: str, counts: np.ndarray) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode()
    with served(Limits(largest=1)) as own, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(raw(own.host, head + b"1\r\n{\r\n"))
        time.sleep(0.2)
        assert infer(own.host, counts[0]).status == 200


def test_half_open_connections_lock_nobody_out(counts: np.ndarray) -> None:
    with served(token="sesame") as own, ExitStack() as stack:
        resting = stack.enter_context(closing(http.client.HTTPConnection(own.host, timeout=WAIT)))
        for _ in range(2):
            resting.request("GET", "/v2", headers=TOKEN)
            assert resting.getresponse().read()
            half_open = [stack.enter_context(raw(own.host, b"GET /v2 HT")) for _ in range(400)]
            assert infer(own.host, counts[0], TOKEN).status == 200
        left = sum(not hung_up(one, wait=0) for one in half_open)
        assert left < ADDRESS


@pytest.mark.skipif(sys.platform != "linux", reason="only there this machine has more than one such address")
def test_one_address_leaves_room_for_others(counts: np.ndarray) -> None:
    """Also with connections that have asked something, and rest."""
    with served() as own, ExitStack() as stack:
        for source in ("127.0.0.2", "127.0.0.3"):
            made = [stack.enter_context(connect(own.host, source))]
            for _ in range(2 * CONNECTIONS):
                assert is_answered(made[-1])
                made.append(stack.enter_context(connect(own.host, source)))
            assert hung_up(made[0])
            assert infer(own.host, counts[0]).status == 200
        assert is_answered(made[-1]), "others were hung up on first"


def test_who_has_no_token_keeps_no_connection() -> None:
    with served(token="sesame") as own:
        for path, status in (("/", 200), ("/v2", 401)):
            with raw(own.host, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) as connection:
                reply = b"".join(iter(lambda: connection.recv(2**16), b""))
                assert reply.startswith(f"HTTP/1.1 {status}".encode())
                assert b"connection: close" in reply
        connection_ = http.client.HTTPConnection(own.host, timeout=WAIT)
        with closing(connection_):
            for _ in range(2):
                connection_.request("GET", "/", headers=TOKEN)
                assert connection_.getresponse().read()


def test_two_lengths_of_one_request_are_refused(server: Served) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    smuggled = "0\r\n\r\nGET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    reply = answer(server.host, f"{head}\r\n{smuggled}".encode())
    assert reply.startswith(b"HTTP/1.1 400")
    assert b"a request has either" in reply
    assert reply.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("version", ["2.0", "1.9", "0.9"])
def test_another_http_is_refused(version: str, server: Served) -> None:
    reply = answer(server.host, f"GET /v2 HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 505")
    assert b"ask with HTTP/1.1" in reply


def test_a_long_method_is_not_repeated(server: Served) -> None:
    reply = answer(server.host, b"A" * 5000 + b" /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 405")
    assert len(reply) < 1000


def test_an_origin_or_a_host_that_is_told_twice(server: Served) -> None:
    """The first of them is right."""
    head = "GET /v2 HTTP/1.1\r\nHost: localhost\r\n"
    for second in ("Host: evil.example", "Origin: http://localhost\r\nOrigin: http://evil.example"):
        assert answer(server.host, f"{head}{second}\r\n\r\n".encode()).startswith(b"HTTP/1.1 40")


@pytest.mark.parametrize(
    "value",
    ["http://localhost:1@evil", "http://[::1].evil", "http://[::1]evil", "http://localhost:80:evil",
     "localhost", "http://localhost.", "http://127.0.0.1.evil.example", "http://localhost/", "ftp://localhost",
     "file://", "http://localhost:123456", "http://evil://localhost", "http://localhost, http://evil", "null",
     ""],
)  # fmt: skip
def test_an_origin_that_only_looks_local(value: str, server: Served, counts: np.ndarray) -> None:
    assert infer(server.host, counts[0], {"Origin": value}).status == 403


@pytest.mark.parametrize(
    "value",
    ["localhost:80:evil", "http://localhost", "[::1].evil", "[::1]:80:evil", "localhost:1@evil", "[::1",
     "localhost.", "user@localhost", "localhost:x", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "127.1",
     "2130706433", "0"],
)  # fmt: skip
def test_a_host_that_only_looks_local(value: str, server: Served, counts: np.ndarray) -> None:
    assert infer(server.host, counts[0], {"Host": value}).status == 403


@pytest.mark.parametrize("how", ["closes", "resets", "half"])
@pytest.mark.parametrize("frames", [1, 2])
def test_a_client_that_goes_away_takes_its_frames_with_it(
    how: str, frames: int, gate: Gate, counts: np.ndarray
) -> None:
    body, headers = message(counts[:frames])
    with served(queue=2) as own, ThreadPoolExecutor(1) as pool:
        first = pool.submit(infer, own.host, counts[0])
        assert gate.entered.acquire(timeout=WAIT)
        gone = raw(own.host, head_of(body, headers) + body)
        until(lambda: own.live.statistics.waiting == 1 + frames)
        if how == "half":
            gone.shutdown(socket.SHUT_WR)  # there is no more to be sent, and it waits
            time.sleep(2)  # while it is tried whether it is there
            assert own.live.statistics.dropped == 0
        else:
            if how == "resets":
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.close()
            # Already while the other one is in work: its place is free.
            until(lambda: own.live.statistics.waiting == 1)
        gate.open_for_all()
        assert first.result().status == 200
        until(lambda: own.live.statistics.waiting == 0)
        left = (1 + frames, 0) if how == "half" else (1, frames)
        assert (own.live.statistics.done, own.live.statistics.dropped) == left
        if how == "half":
            reply = b"".join(iter(lambda: gone.recv(2**16), b""))
            assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
            gone.close()


def test_streams_of_somebody_gone_make_room(counts: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Limits(streams=2)) as own:
        for channel in "aaab":
            assert infer(own.host, counts[0], channel=channel).status == 200
        refused = infer(own.host, counts[0], channel="c")
        assert refused.status == 400
        assert "has had no frame for 600 s" in refused.error
        monkeypatch.setattr("baikal_deploy.serve.streams.IDLE", 0.2)
        time.sleep(0.3)
        assert infer(own.host, counts[0], channel="b").status == 200
        for _ in range(9):
            assert infer(own.host, counts[0], channel="c").status == 200
        known = {channel for channel, _ in own.live._model.streams}
        assert known == {"b", "c"}, "a rested longest, and is forgotten"


def test_a_stream_whose_frame_waits_makes_no_room(
    gate: Gate, counts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baikal_deploy.serve.streams.IDLE", 0)
    with served(Limits(streams=1)) as own, ThreadPoolExecutor(1) as pool:
        first = pool.submit(infer, own.host, counts[0], channel="a")
        assert gate.entered.acquire(timeout=WAIT)
        assert infer(own.host, counts[0], channel="b").status == 400
        gate.open_for_all()
        assert first.result().status == 200
        assert infer(own.host, counts[0], channel="b").status == 200


def test_a_client_that_reads_little_by_little_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, counts: np.ndarray
) -> None:
    monkeypatch.setattr("baikal_deploy.serve.connection.PATIENCE", 3)
    body, headers = message(np.tile(counts[0], (40, 50)))
    with served(Limits(largest=64)) as own, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        address, port = own.host.split(":")
        lazy.connect((address, int(port)))
        lazy.sendall(head_of(body, headers) + body)
        until(lambda: own.live.statistics.done == 1)
        read = 0
        with suppress(ConnectionResetError):
            while piece := lazy.recv(2**15):  # every megabyte in time, and all of them not
                read += len(piece)
                time.sleep(0.015)
        assert 2**21 < read < 2**24


def test_the_page_is_no_part_of_another_one(server: Served) -> None:
    headers = ask(server.host, "GET", "/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    for path in ("/", "/live.json", "/metrics", "/v2", "/none"):
        headers = ask(server.host, "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
