"""The applications: a server of frames, and a page for a stream that is fed from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from baikal_deploy.errors import BaikalError
from baikal_deploy.live import LiveDenoiser
from baikal_deploy.serve.address import Address
from baikal_deploy.serve.answers import answer_bug, answer_error, answer_no_route
from baikal_deploy.serve.gate import Gate
from baikal_deploy.serve.infer import Inference
from baikal_deploy.serve.refusal import bad
from baikal_deploy.serve.watch import METRICS_TYPE, Watch

PAGE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
"""Headers of the page: it fetches nothing from elsewhere, and no page of others may show it as its part."""


def make_app(live: LiveDenoiser, address: Address, inference: Inference | None = None) -> Starlette:
    """The page and the metrics of a stream, and what takes frames for it."""
    watch = Watch(live)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        watch.close()
        if inference is not None:
            inference.close()

    return Starlette(
        routes=[*_watching(watch), *(inference.routes() if inference else [])],
        middleware=[Middleware(Gate, token=address.token, hosts=address.names)],
        exception_handlers={
            HTTPException: answer_no_route,
            BaikalError: answer_error,
            Exception: answer_bug,
        },
        lifespan=lifespan,
    )


def _watching(watch: Watch) -> list[Route]:
    html = files("baikal_deploy.serve").joinpath("page.html").read_text(encoding="utf-8")

    # No coroutines: they take time, and run in threads then.
    def page(request: Request) -> Response:
        return HTMLResponse(html, headers=PAGE)

    def state(request: Request) -> Response:
        shown = request.query_params.get("shown", "")
        if not ((shown.isascii() and shown.isdigit() and len(shown) < 19) or not shown):
            raise bad("shown: must be the number of a frame")
        return JSONResponse(watch.state(int(shown or -1)), headers={"cache-control": "no-store"})

    def metrics(request: Request) -> Response:
        return Response(watch.metrics(), headers={"content-type": METRICS_TYPE})

    return [Route("/", page), Route("/live.json", state), Route("/metrics", metrics)]
