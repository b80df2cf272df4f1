"""A connection that no client can hold on to for ever."""

from __future__ import annotations

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 60
"""Seconds that a client may take to ask, or not read its answer for."""


class Connection(H11Protocol):
    """Hangs up on a client that connects and does not ask, or asks and does not read."""

    _asking: TimerHandle | None = None
    _reading: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._asking = self.loop.call_later(PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_idle():
            _stop(self._asking)
            self._asking = None
        elif self._asking is None:
            self._asking = self.loop.call_later(PATIENCE, self.transport.abort)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has sent all of a request, and will send no more, still gets its answer."""
        if self._is_idle() or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _stop(self._asking)
        _stop(self._reading)

    def _is_idle(self) -> bool:
        """No request is under way."""
        return self.cycle is None or self.cycle.response_complete


def _stop(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
