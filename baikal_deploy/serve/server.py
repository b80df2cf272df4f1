"""A server on a socket of its own, in this thread or in another one."""

from __future__ import annotations

import signal
from threading import Thread
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from baikal_deploy.live import LiveDenoiser
from baikal_deploy.serve.address import Address
from baikal_deploy.serve.app import make_app
from baikal_deploy.serve.body import Room
from baikal_deploy.serve.connection import ADDRESS, CONNECTIONS, Connection
from baikal_deploy.serve.infer import Inference
from baikal_deploy.serve.limits import Limits
from baikal_deploy.serve.shared import Segments

IDLE = 600
"""Seconds that a connection is kept: a time lapse sends a frame now and then."""
DRAIN = 60
"""Seconds that accepted requests have to be answered at the end."""
DEFAULT = Limits()


class Server:
    """Answers requests. Use it as a context manager to have it in a thread of its own, or ``run`` it."""

    def __init__(self, app: ASGIApp, address: Address) -> None:
        self._address = address
        address.socket.listen()  # whoever connects from now on waits, and is not refused
        config = uvicorn.Config(
            app, http=Connection, ws="none", loop="asyncio", lifespan="on", log_level="error",
            access_log=False, log_config=None, timeout_graceful_shutdown=DRAIN, timeout_keep_alive=IDLE,
            server_header=False, proxy_headers=False,
            # Connection bounds them. Those on their way in or out fit into the 256 files of a Mac, too.
            backlog=ADDRESS, limit_concurrency=2 * CONNECTIONS,
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)
        self._thread = Thread(target=self._serve, name="baikal-serve", daemon=True)

    @property
    def url(self) -> str:
        """Address of the server, such as http://127.0.0.1:8000."""
        return self._address.url

    def _serve(self) -> None:
        self._uvicorn.run(sockets=[self._address.socket])

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; what was accepted by then is answered."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # raised once more when all is answered
        self._serve()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()


def serve_frames(live: LiveDenoiser, address: Address, limits: Limits = DEFAULT) -> Server:
    """A server that denoises frames for other programs with the Open Inference Protocol.

    Args:
        live: denoises them; one that drops the newest when its queue is full tells the client at once.
        address: host and port, taken already.
        limits: bounds on requests, streams and shared memory.
    """
    room, segments = Room(limits.largest * 2**20), Segments(limits.shared_memory)
    inference = Inference(live, room, segments, limits.streams)
    return Server(make_app(live, address, inference), address)


def serve_page(live: LiveDenoiser, address: Address) -> Server:
    """A server of the live page, and of metrics, for a stream that is fed from elsewhere.

    >>> with LiveDenoiser("nuclei") as live, serve_page(live, Address(port=8001)) as page:
    ...     print(page.url)
    """
    return Server(make_app(live, address), address)
