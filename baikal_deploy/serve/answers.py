"""Errors as the Open Inference Protocol has them."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from baikal_deploy.errors import ConfigError
from baikal_deploy.live import FrameDropped
from baikal_deploy.serve.refusal import RETRY_AFTER, Refused


def refusal(error: Exception) -> Response:
    """The answer to a request that failed with this."""
    status, message = _told(error)
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(RETRY_AFTER)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"error": message}, status, headers)


def _told(error: Exception) -> tuple[int, str]:
    if isinstance(error, Refused):
        return error.status, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, FrameDropped):
        return HTTPStatus.SERVICE_UNAVAILABLE, str(error)
    if isinstance(error, ConfigError):
        return HTTPStatus.BAD_REQUEST, str(error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, str(error)


async def answer_error(request: Request, error: Exception) -> Response:
    """For what was raised on purpose."""
    return refusal(error)


async def answer_bug(request: Request, error: Exception) -> Response:
    """For everything else; the log has the rest."""
    return JSONResponse({"error": "the server failed; its log says how"}, HTTPStatus.INTERNAL_SERVER_ERROR)
