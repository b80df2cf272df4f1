"""What the tests of the server share: a server, and requests byte by byte."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from baikal_deploy.live import LiveDenoiser
from baikal_deploy.serve import Address, Limits, serve_frames
from baikal_deploy.serve.server import DEFAULT
from tests.gate import WAIT

INFER = "/v2/models/general/infer"
DATATYPES = {"u1": "UINT8", "u2": "UINT16", "i2": "INT16", "f4": "FP32"}


@dataclass(frozen=True)
class Served:
    live: LiveDenoiser
    url: str

    @property
    def host(self) -> str:
        """With the port."""
        return self.url.removeprefix("http://")


@contextmanager
def served(
    limits: Limits = DEFAULT, token: str | None = None, queue: int = 8, **options: Any
) -> Iterator[Served]:
    """A server with the analytic engine, on a free port."""
    live = LiveDenoiser(engine="analytic", queue=queue, when_full="drop-newest", **options)
    with live, serve_frames(live, Address(port=0, token=token), limits) as server:
        yield Served(live, server.url)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """What the server says is wrong; it must say nothing else."""
        assert list(self.json) == ["error"], self.json
        return str(self.json["error"])

    @property
    def frame(self) -> np.ndarray:
        """The binary output."""
        length = int(self.headers["inference-header-content-length"])
        (output,) = json.loads(self.body[:length])["outputs"]
        found = {name: dtype for dtype, name in DATATYPES.items()}[output["datatype"]]
        return np.frombuffer(self.body[length:], found).reshape(output["shape"])


def ask(host: str, method: str, path: str, body: Any = b"", headers: Mapping[str, str] = {}) -> Reply:
    connection = http.client.HTTPConnection(host, timeout=WAIT)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def message(frame: np.ndarray, **parameters: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with binary data, both ways."""
    tensor = {
        "name": "frame",
        "datatype": DATATYPES[frame.dtype.str[1:]],
        "shape": frame.shape,
        "parameters": {"binary_data_size": frame.nbytes},
    }
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": True, **parameters}}
    text = json.dumps(asked).encode()
    return text + frame.tobytes(), {"Inference-Header-Content-Length": str(len(text))}


def infer(host: str, frame: np.ndarray, headers: Mapping[str, str] = {}, **parameters: Any) -> Reply:
    body, own = message(frame, **parameters)
    return ask(host, "POST", INFER, body, {**own, **headers})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def raw(host: str, text: bytes) -> socket.socket:
    address, port = host.split(":")
    connection = socket.create_connection((address, int(port)), timeout=WAIT)
    connection.sendall(text)
    return connection


def head_of(body: bytes, headers: Mapping[str, str]) -> bytes:
    """All that comes before the body."""
    lines = {"Host": "localhost", "Content-Length": str(len(body)), **headers}
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {INFER} HTTP/1.1\r\n{told}\r\n".encode()


def hung_up(connection: socket.socket, wait: float = WAIT) -> bool:
    """By the server, within so many seconds."""
    connection.settimeout(wait)
    try:
        while connection.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    except (TimeoutError, BlockingIOError):
        return False
    return True


class Process:
    """baikal-serve in a process of its own, on a free port."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] = {}) -> None:
        code = "from baikal_deploy.cli.serve import main; main()"
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code, "--port", "0", *arguments],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
        )  # fmt: skip
        assert self.popen.stderr is not None
        self.line = self.popen.stderr.readline()
        found = re.search(r"http://(\S+);", self.line)
        assert found is not None, self.line + self.popen.stderr.read()
        self.host = found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.popen.kill()
        self.popen.communicate()

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes that are resident; VmHWM: at most so far."""
        lines = Path(f"/proc/{self.popen.pid}/status").read_text(encoding="utf-8").splitlines()
        (line,) = [line for line in lines if line.startswith(f"{what}:")]
        return 1024 * int(line.split()[1])
