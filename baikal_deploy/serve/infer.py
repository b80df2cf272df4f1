"""The addresses of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from baikal_deploy._version import __version__
from baikal_deploy.live import LiveDenoiser, LiveResult
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.serve.body import BinaryResponse, Room, announced, read_body
from baikal_deploy.serve.protocol import INPUT, NAME, OUTPUT, VERSION, InferRequest, SegmentRequest
from baikal_deploy.serve.refusal import Refused, bad
from baikal_deploy.serve.shared import Segments
from baikal_deploy.serve.streams import Streams
from baikal_deploy.serve.tensors import JSON_LENGTH, decode, encode, parse

SEGMENT_BYTES = 2**16
"""Most bytes of a request about shared memory."""
Result = TypeVar("Result")


class Inference:
    """Answers requests with a live stream.

    Arguments:
        room: for the bodies of requests.
        streams: channels, in each pixel type, that may have an intensity mapping.
    """

    def __init__(self, live: LiveDenoiser, room: Room, segments: Segments, streams: int) -> None:
        self._live, self._room, self._segments = live, room, segments
        self._streams = Streams(streams, live.forget)
        made_with = live.provenance()
        self._model, self._engine = made_with["model"]["name"], made_with["engine"]["name"]
        self._pool = ThreadPoolExecutor(2, "baikal-serve")

    def close(self) -> None:
        """Free the shared memory."""
        self._segments.unregister(None)
        self._pool.shutdown()

    def routes(self) -> list[Route]:
        """Addresses of the protocol, with what answers there."""
        region = "/v2/systemsharedmemory"
        found = [
            Route("/v2", self.server),
            Route("/v2/health/live", self.healthy),
            Route("/v2/health/ready", self.healthy),
        ]
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            found += [
                Route(model, self.model),
                Route(f"{model}/ready", self.ready),
                Route(f"{model}/infer", self.infer, methods=["POST"]),
            ]
        for one in (region, region + "/region/{region}"):
            found += [
                Route(f"{one}/status", self.status),
                Route(f"{one}/unregister", self.unregister, methods=["POST"]),
            ]
        return [*found, Route(region + "/region/{region}/register", self.register, methods=["POST"])]

    async def server(self, request: Request) -> Response:
        """Answer with the name, version and extensions of this server."""
        extensions = ["binary_tensor_data", "system_shared_memory"]
        return JSONResponse({"name": "baikal-serve", "version": __version__, "extensions": extensions})

    async def healthy(self, request: Request) -> Response:
        """Answer that the server is alive and ready."""
        return Response()

    async def model(self, request: Request) -> Response:
        """Answer with the model's name, its engine, and its input and output.

        Raises:
            Refused: another model or version.
        """
        self._check_model(request)
        tensor = {"datatype": "UINT16", "shape": [-1, -1]}
        return JSONResponse(
            {
                "name": self._model,
                "versions": [VERSION],
                "platform": self._engine,
                "inputs": [{"name": INPUT, **tensor}],
                "outputs": [{"name": OUTPUT, **tensor}],
            }
        )

    async def ready(self, request: Request) -> Response:
        """Answer that the model is ready.

        Raises:
            Refused: another model or version.
        """
        self._check_model(request)
        return Response()

    def _check_model(self, request: Request) -> None:
        name, version = request.path_params["model"], request.path_params.get("version", VERSION)
        if (name, version) != (self._model, VERSION):
            raise Refused(
                HTTPStatus.NOT_FOUND,
                f"model {name[:NAME]}, version {version[:NAME]}: this server has {self._model}, "
                f"version {VERSION}",
            )

    async def infer(self, request: Request) -> Response:
        """Answer with the denoised frames.

        Raises:
            Refused: the request is wrong, too large or too late, or its client is gone.
            BaikalError: a frame was dropped, or the network failed.
        """
        self._check_model(request)
        if "content-encoding" in request.headers:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-encoding: send it uncompressed")
        size = announced(request, "content-length")
        size = self._room.largest if size is None else size
        self._room.check(size)
        with ExitStack() as held:
            hold = held.enter_context(self._room.hold())
            json_bytes = announced(request, JSON_LENGTH)
            body = await read_body(request, size, json_bytes or 0, hold)
            asked, binary = await self._apart(parse, body, json_bytes)
            if asked.shares_memory:
                _check_local(request)
            hold(asked.frames.nbytes)  # the result
            if asked.frames.parameters.shared_memory_region is not None:
                hold(asked.frames.nbytes)
            self._check_count(asked.frames.stack_shape[0])
            frames = await self._apart(decode, asked.frames, binary, self._segments)
            with self._streams.use(asked.channel, frames.dtype):  # only a frame that is whole takes its room
                results = await self._denoised(frames, asked, request)
            answer = await self._apart(encode, asked, results, self._model, self._segments)
            return BinaryResponse(answer.text, answer.parts, held.pop_all())

    def _check_count(self, frames: int) -> None:
        if frames > self._live.queue:
            raise bad(f"frame: {frames} frames, and the queue holds {self._live.queue}; send fewer at a time")

    async def _denoised(self, frames: Raw, asked: InferRequest, request: Request) -> list[LiveResult]:
        """Results of frames (N, H, W), in order.

        Raises:
            Refused: it takes too long, or the client is gone.
            BaikalError: a frame's future raised it.
        """
        submitted = [self._live.submit(frame, channel=asked.channel, copy=False) for frame in frames]
        timeout = asked.parameters.timeout
        done, gone = asyncio.gather(*map(asyncio.wrap_future, submitted)), asyncio.create_task(_gone(request))
        try:
            async with asyncio.timeout(timeout / 1e6 if timeout else None):
                await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                raise bad("the client is gone, and its frames are dropped")
            return await done
        except TimeoutError:
            raise Refused(
                HTTPStatus.GATEWAY_TIMEOUT, f"timeout: not done in {timeout} microseconds"
            ) from None
        finally:
            gone.cancel()
            done.cancel()
            for future in submitted:
                future.cancel()  # those that nobody waits for any more

    async def _apart(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Work in another thread, so that other clients are not held up."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def status(self, request: Request) -> Response:
        """Answer with the segment of shared memory that is named, or with all.

        Raises:
            Refused: it is not registered, or the client is not on this machine.
        """
        _check_local(request)
        return JSONResponse(await self._apart(self._segments.status, request.path_params.get("region")))

    async def register(self, request: Request) -> Response:
        """Register a segment of shared memory.

        Raises:
            Refused: it cannot be registered, or the client is not on this machine.
        """
        _check_local(request)
        name = request.path_params["region"]
        if len(name) > NAME:
            raise bad(f"shared memory region: its name has more than {NAME} characters")
        with self._room.hold() as hold:
            body = await read_body(request, SEGMENT_BYTES, 0, hold)
        await self._apart(self._segments.register, name, SegmentRequest.parse(body.tobytes()))
        return JSONResponse({})

    async def unregister(self, request: Request) -> Response:
        """Forget the segment of shared memory that is named, or all.

        Raises:
            Refused: the client is not on this machine.
        """
        _check_local(request)
        await self._apart(self._segments.unregister, request.path_params.get("region"))
        return JSONResponse({})


async def _gone(request: Request) -> None:
    """Return when the client of a request that has come is there no more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _check_local(request: Request) -> None:
    if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "shared memory: only for clients on the server's machine, at its loopback address; "
            "send the pixels as binary data",
        )
