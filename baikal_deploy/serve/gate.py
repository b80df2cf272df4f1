"""The gate of a server: requests pass with a token, or from this machine and from no web page of others."""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from baikal_deploy.serve.answers import refusal
from baikal_deploy.serve.refusal import Refused, bad

OPEN = ("/",)
"""Paths that hold nothing to be guarded: the page asks for the token itself."""
PLACE = r"(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
NAMES = {"host": re.compile(PLACE), "origin": re.compile(f"https?://{PLACE}")}
"""Headers that name the server, and how they do."""
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every answer: pages of others may not use it as what it is not."""
CLOSE = (b"connection", b"close")


class Gate:
    """A gate in front of an application. Whoever is not let in keeps no connection either.

    Arguments:
        token: that requests must bring as ``Authorization: Bearer``; None: anyone may ask.
        hosts: names under which the server may be asked, if there is no token. A web page of somebody else
            comes with another name, even if its address leads here.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: frozenset[str]) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            _check_framing(scope["http_version"], headers)
            self._check(scope["path"], headers)
        except Refused as error:
            await refusal(error)(scope, receive, _with(send, *ALWAYS, CLOSE))
        else:
            known = self._token is None or self._has_token(headers)
            await self._app(scope, receive, _with(send, *ALWAYS, *(() if known else (CLOSE,))))

    def _check(self, path: str, headers: Headers) -> None:
        if self._token is None:
            self._check_names(headers)
        elif path not in OPEN and not self._has_token(headers):
            raise Refused(HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN")

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = secrets.compare_digest(given.strip().encode(), (self._token or "").encode())
        return right and scheme.lower() == "bearer"

    def _check_names(self, headers: Headers) -> None:
        for name, form in NAMES.items():
            for value in headers.getlist(name):
                found = form.fullmatch(value.lower())
                if found is None or found["host"] not in self._hosts:
                    raise Refused(
                        HTTPStatus.FORBIDDEN,
                        f"{name} {value[:100]}: is not this server; ask localhost, or start it with a token",
                    )


def _check_framing(version: str, headers: Headers) -> None:
    """Refuse lengths that a proxy may read otherwise: one client's bytes would be another one's request."""
    if version not in ("1.0", "1.1"):
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"HTTP/{version}: ask with HTTP/1.1")
    if "content-length" in headers and "transfer-encoding" in headers:
        raise bad("content-length and transfer-encoding: a request has either")


def _with(send: Send, *added: tuple[bytes, bytes]) -> Send:
    """The same function to send with, which adds headers to the answer's."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sending
