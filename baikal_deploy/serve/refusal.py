"""Requests that are not answered with a result."""

from __future__ import annotations

from http import HTTPStatus

from baikal_deploy.errors import BaikalError

RETRY_AFTER = 1
"""Seconds after which a client may ask again where the server was busy."""


class Refused(BaikalError):
    """A request that is answered with an error.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def bad(message: str) -> Refused:
    """A request that is wrong, and would be another time."""
    return Refused(HTTPStatus.BAD_REQUEST, message)
