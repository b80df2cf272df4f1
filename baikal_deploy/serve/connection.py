"""A connection that no client can hold on to for ever, and that takes no place from others.

It builds on parts of uvicorn that are not promised to anybody. So the extra ``serve`` bounds its version, and
tests/contract/test_uvicorn.py names the part that a newer one has changed.
"""

from __future__ import annotations

import ipaddress
from asyncio import TimerHandle, Transport
from typing import Any, Literal, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 128
"""Most connections at a time; beyond that a new one takes the place of one whose client is awaited."""
ADDRESS = 64
"""Most connections from one address."""
HEAD = 10
"""Seconds that a client may take to ask: for the first line and the headers."""
PATIENCE = 60
"""Seconds that a client may take for an answer that it does not read as fast as it is sent."""
PAUSE = 0.25
"""Seconds after which a client that has closed its side is tried; then twice as many, and so on."""


class Connection(H11Protocol):
    """Hangs up on a client that connects and does not ask, asks and does not read, or is gone."""

    _asking: TimerHandle | None = None
    _reading: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        self._line = Line(transport)
        super().connection_made(cast("Transport", self._line))
        self._since, self._network = self.loop.time(), _network(self.client)
        self._asking = self.loop.call_later(HEAD, transport.abort)
        self._make_room()

    def _make_room(self) -> None:
        """Hang up, where connections are too many, on the one whose client has been awaited longest.

        Those that have never asked anything go first, if they are the most: they have shown no token.
        """
        others = [one for one in cast("set[Connection]", self.connections) if one is not self]
        others = [one for one in others if not one.transport.is_closing()]
        same = [one for one in others if one._network == self._network]
        crowd = same if len(same) >= ADDRESS else others if len(others) >= CONNECTIONS else []
        awaited = [one for one in crowd if one._is_awaited()]
        strangers = [one for one in awaited if one.cycle is None]
        if 2 * len(strangers) > len(awaited):
            awaited = strangers
        if awaited:
            min(awaited, key=lambda one: one._since).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_idle():
            if self._asking is not None:
                self._since = self.loop.time()
            self._stop("_asking")
        elif self._asking is None:
            self._asking = self.loop.call_later(HEAD, self.transport.abort)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection of a client that has asked and will send no more: it still gets its answer."""
        if self._is_idle() or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        self.loop.call_later(PAUSE, self._knock, 2 * PAUSE)
        return True

    def _knock(self, pause: float) -> None:
        """Find out whether the client is still there: if it is gone, what is sent comes back as an error."""
        if not self.cycle.response_started and self._line.send_ahead():
            self.loop.call_later(pause, self._knock, 2 * pause)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading is None:  # for the whole of the answer
            self._reading = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_idle():
            self._stop("_reading")

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        if not self.flow.write_paused:
            self._stop("_reading")
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop("_asking")
        self._stop("_reading")

    def _stop(self, name: Literal["_asking", "_reading"]) -> None:
        """Stop a timer, if it runs."""
        if (timer := getattr(self, name)) is not None:
            timer.cancel()
            setattr(self, name, None)

    def _is_idle(self) -> bool:
        """True if no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def _is_awaited(self) -> bool:
        """True if the next thing to happen is the client's to do."""
        return self._is_idle() or self.cycle.more_body or self._reading is not None


class Line:
    """A transport on which the beginning of the next answer, the same for all, can be sent ahead."""

    AHEAD = b"HTTP/1.1 "

    def __init__(self, transport: Transport) -> None:
        self._transport, self._sent = transport, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send an answer, or the next part of it."""
        self._transport.write(data[self._sent :])
        self._sent = 0

    def send_ahead(self) -> bool:
        """Send one byte; return False if there is none left that could be sent."""
        byte = self.AHEAD[self._sent : self._sent + 1]
        if not byte or self._transport.is_closing():
            return False
        self._transport.write(byte)
        self._sent += 1
        return True


def _network(client: tuple[str, int] | None) -> object:
    """Network of a client: of IPv6 each has 2**64 addresses to itself."""
    if client is None:
        return None
    address = ipaddress.ip_address(client[0])
    if address.version == 4:
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address) >> 64 << 64)
