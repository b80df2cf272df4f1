"""Errors as the Open Inference Protocol has them."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from baikal_deploy.errors import BaikalError, ConfigError
from baikal_deploy.live import FrameDropped
from baikal_deploy.serve.refusal import RETRY_AFTER, Refused


def refusal(error: BaikalError) -> Response:
    """The answer to a request that failed with this."""
    status, headers = _status(error), {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(RETRY_AFTER)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"error": str(error)}, status, headers)


def _status(error: BaikalError) -> HTTPStatus:
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, FrameDropped):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, ConfigError):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.INTERNAL_SERVER_ERROR


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer a request for which an error was raised on purpose."""
    assert isinstance(error, BaikalError)
    return refusal(error)


async def answer_no_route(request: Request, error: Exception) -> Response:
    """Answer a request for an address that there is not, or that is asked otherwise."""
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow")
    instead = f"; it takes {allowed}" if allowed else "; /v2/models/NAME/infer denoises"
    message = f"{request.method[:20]} {request.url.path[:100]}: {error.detail}{instead}"
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def answer_bug(request: Request, error: Exception) -> Response:
    """Answer a request for which any other error was raised; the log has the rest."""
    return JSONResponse({"error": "the server failed; its log says how"}, HTTPStatus.INTERNAL_SERVER_ERROR)
