"""The parts of uvicorn that serve/connection.py builds on, and that uvicorn promises to nobody.

Where this fails with a newer uvicorn, look at what it does now, and at every method of Connection, before the
extra ``serve`` of pyproject.toml lets it in.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from baikal_deploy.live import LiveDenoiser
from baikal_deploy.serve import Address, serve_page
from baikal_deploy.serve.connection import Connection
from tests.gate import WAIT
from tests.serving import until

PROTOCOL = {
    "loop": asyncio.AbstractEventLoop,
    "connections": set,
    "client": tuple,
    "cycle": RequestResponseCycle,
}
CYCLE = {"keep_alive": bool, "more_body": bool, "response_started": bool, "response_complete": bool}


@pytest.fixture(scope="module")
def connection() -> Connection:
    """One over which a request has been answered."""
    with LiveDenoiser(engine="analytic") as live, serve_page(live, Address(port=0)) as page:
        host, port = page.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=WAIT) as client:
            client.sendall(b"GET /live.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(2**16).startswith(b"HTTP/1.1 200")
            (found,) = page._uvicorn.server_state.connections
            until(lambda: found.cycle.response_complete)
    assert isinstance(found, Connection)
    return found


@pytest.mark.parametrize("name", PROTOCOL)
def test_a_connection_has_what_is_used_of_it(name: str, connection: Connection) -> None:
    assert isinstance(getattr(connection, name, None), PROTOCOL[name])


@pytest.mark.parametrize("name", CYCLE)
def test_a_request_has_what_is_used_of_it(name: str, connection: Connection) -> None:
    assert isinstance(getattr(connection.cycle, name, None), CYCLE[name])


def test_what_is_written_goes_through_the_line(connection: Connection) -> None:
    assert connection.transport is connection._line
    assert connection.cycle.transport is connection._line
    assert isinstance(connection.flow.write_paused, bool)


@pytest.mark.parametrize(
    "name", [name for name in vars(Connection) if name in dir(H11Protocol) and name[0] != "_"]
)
def test_what_is_replaced_is_called_alike(name: str) -> None:
    """A method of a new name would never be called, and nobody would hear of it."""
    own, theirs = (inspect.signature(getattr(one, name)) for one in (Connection, H11Protocol))
    assert list(own.parameters) == list(theirs.parameters)


def test_what_is_replaced_is_there() -> None:
    asyncio_calls = {name for name in dir(asyncio.Protocol) if name[0] != "_"}
    ours = {name for name, made in vars(Connection).items() if inspect.isfunction(made) and name[0] != "_"}
    assert ours - asyncio_calls == {"on_response_complete"}
    assert "on_response_complete" in inspect.getsource(H11Protocol.handle_events)


def test_the_extra_bounds_the_version() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (found,) = [one for one in project["optional-dependencies"]["serve"] if one.startswith("uvicorn")]
    assert any(one.operator == "<" for one in Requirement(found).specifier)
