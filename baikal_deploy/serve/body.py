"""Bodies of requests and answers, in bounded memory; requests in bounded time, answers see connection.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from baikal_deploy.serve.refusal import Refused, bad

SECONDS = 60
"""Longest time, in seconds, that the body of a request may take."""
PIECE = 2**20
"""Bytes that are handed on for sending at a time."""
TOGETHER = 8
"""Largest requests whose bodies may be held at a time."""


class Room:
    """Bounds on the bytes that requests may hold, each and together; all within one thread.

    Arguments:
        largest: bytes of one request.
    """

    def __init__(self, largest: int) -> None:
        self.largest, self._left = largest, TOGETHER * largest

    @contextmanager
    def hold(self, size: int = 0) -> Iterator[Callable[[int], None]]:
        """Hold bytes, and as many more as the function that it gives is called with.

        Raises:
            Refused: they, or those that it is called with, are too many, alone or with those of the others.
        """
        held = 0

        def more(size: int) -> None:
            nonlocal held
            self._take(size)
            held += size

        try:
            more(size)
            yield more
        finally:
            self._left += held

    def _take(self, size: int) -> None:
        self.check(size)
        if size > self._left:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests at a time: try again later"
            )
        self._left -= size

    def check(self, size: int) -> None:
        """Raise Refused for a request that is too large alone."""
        if size > self.largest:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{size} bytes: {_most(self.largest)}")


def _most(size: int) -> str:
    return f"a request has at most {size} bytes here; the server's --largest may be raised"


def announced(request: Request, name: str) -> int | None:
    """The number of bytes that a header announces; None if it is not there.

    Raises:
        Refused: it is not a number of bytes.
    """
    text = request.headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise bad(f"{name}: must be a number of bytes")
    return int(text)


async def read_body(
    request: Request, most: int, json_bytes: int, hold: Callable[[int], None]
) -> NDArray[np.uint8]:
    """The body, of at most ``most`` bytes, in one piece.

    Args:
        request: whose body has not been read yet.
        most: bytes that it may have.
        json_bytes: at its beginning; what follows them lies in memory as pixels like it.
        hold: called with the number of bytes that come, before they are kept.

    Raises:
        Refused: it is too large, or too slow; and what ``hold`` raises.
    """
    ahead = -json_bytes % 64
    # What nothing has been written to takes no memory yet.
    buffer, filled = np.empty(ahead + most, np.uint8)[ahead:], 0
    try:
        async with asyncio.timeout(SECONDS):
            async for piece in request.stream():
                end = filled + len(piece)
                if end > most:
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _most(most))
                hold(len(piece))
                buffer[filled:end] = np.frombuffer(piece, np.uint8)
                filled = end
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, f"the request took more than {SECONDS} s to come") from None
    except ClientDisconnect:
        raise bad("the request ended before all of it had come") from None
    return buffer[:filled]


class BinaryResponse(Response):
    """JSON, and the bytes of tensors behind it.

    Arguments:
        text: the JSON.
        parts: sent as they are, without being joined.
        held: released when all is sent, or the client is gone.
    """

    def __init__(self, text: bytes, parts: Sequence[memoryview], held: ExitStack) -> None:
        headers = {"content-length": str(len(text) + sum(map(len, parts)))}
        if parts:
            headers["inference-header-content-length"] = str(len(text))
        super().__init__(
            headers=headers, media_type="application/octet-stream" if parts else "application/json"
        )
        self._parts, self._held = [memoryview(text), *parts], held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for part in self._parts:
                for first in range(0, len(part), PIECE):
                    piece = part[first : first + PIECE]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
