"""Connections to the server: slow ones, silent ones, and those that end in the middle."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest

from baikal_deploy.live import LiveDenoiser
from baikal_deploy.serve import Address, Limits, serve_page
from tests.gate import WAIT
from tests.serving import INFER, Served, head_of, hung_up, infer, message, raw, served, until


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
