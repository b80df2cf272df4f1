"""How the commands talk: plain messages, and one line when something is wrong."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from baikal_deploy.errors import BaikalError

BUG = 1
USER_ERROR = 2
INTERRUPTED = 130


def plain_console() -> Console:
    """For messages on stderr that are printed as they are: paths may hold what looks like markup."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors raised on purpose into one line on stderr and exit code 2.

    Anything else is a bug and keeps its traceback.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BaikalError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(USER_ERROR)
        except KeyboardInterrupt as interrupt:
            click.echo(f"{interrupt}\ninterrupted".lstrip(), err=True)
            sys.exit(INTERRUPTED)

    return wrapped
