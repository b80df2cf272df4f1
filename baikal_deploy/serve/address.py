"""Address of a server, and the check of who may reach it."""

from __future__ import annotations

import ipaddress
import os
import socket

from baikal_deploy.errors import ConfigError

HOST, PORT = "127.0.0.1", 8000
TOKEN = "BAIKAL_SERVE_TOKEN"
"""Environment variable of the token."""


class Address:
    """Host and port, taken for this process.

    Arguments:
        port: 0: one that is free.
        token: that requests must bring as ``Authorization: Bearer``, in ASCII and without spaces; None:
            anyone on this machine may ask.

    Raises:
        ConfigError: they cannot be had, the token is none, or other machines reach them and there is none.
    """

    def __init__(self, host: str = HOST, port: int = PORT, token: str | None = None) -> None:
        self.host, self.token = host, token
        if token is not None and not _is_token(token):
            raise ConfigError(
                "the token: must be of ASCII letters, digits and signs, without spaces, and not empty"
            )
        if token is None and not _is_loopback(host):
            raise ConfigError(
                f"host {host}: other machines reach it, so a token is needed (--token, or the environment's "
                f"{TOKEN}); {HOST} needs none"
            )
        self.socket = _bound(host, port)

    @property
    def url(self) -> str:
        return f"http://{self._name}:{self.socket.getsockname()[1]}"

    @property
    def _name(self) -> str:
        """Host name or address as a URL writes it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def names(self) -> frozenset[str]:
        """Names under which this machine may ask."""
        return frozenset({"localhost", "127.0.0.1", "[::1]", self._name.lower()})


def _is_token(text: str) -> bool:
    """True if a header carries the text as it is, whatever the client."""
    return text.isascii() and text.isprintable() and text != "" and " " not in text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise ConfigError(f"port {port}: must be from 0 to {2**16 - 1}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol: only then does asyncio send small answers at once (TCP_NODELAY).
        found = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"host {host}: is not an address of this machine ({reason})") from error
    try:
        if os.name == "posix":  # elsewhere it would let others take the port as well
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        raise ConfigError(
            f"{host}:{port}: cannot be served on ({error.strerror}); choose another port"
        ) from error
    return found
