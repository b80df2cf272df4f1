"""Who may ask: with a token, or from this machine and from no web page of others."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from baikal_deploy.serve.answers import refusal
from baikal_deploy.serve.refusal import Refused

OPEN = ("/",)
"""Paths that hold nothing to be guarded: the page asks for the token itself."""


class Gate:
    """In front of an application.

    Arguments:
        token: that requests must bring as ``Authorization: Bearer``; None: anyone may ask.
        hosts: names under which the server may be asked, if there is no token. A web page of somebody else
            comes with another name, even if its address leads here.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: frozenset[str]) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http":
                self._check(scope["path"], Headers(scope=scope))
        except Refused as error:
            await refusal(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        if self._token is None:
            self._check_names(headers)
        elif path not in OPEN:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            right = secrets.compare_digest(given.strip().encode(), self._token.encode())
            if not right or scheme.lower() != "bearer":
                raise Refused(HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN")

    def _check_names(self, headers: Headers) -> None:
        for name, value in (("host", headers.get("host")), ("origin", headers.get("origin"))):
            if value is not None and _host(value) not in self._hosts:
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    f"{name} {value[:100]}: is not this server; ask localhost, or start it with a token",
                )


def _host(value: str) -> str:
    """Without scheme and port."""
    host = value.rpartition("://")[2].lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
