"""How the commands talk: plain messages, and one line when something is wrong."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import rich_click as click
from rich.console import Console

from baikal_deploy.cli._streams import check_told, lenient_streams
from baikal_deploy.errors import BaikalError, ConfigError

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
        with lenient_streams():
            try:
                command(*args, **kwargs)
                check_told()
            except BaikalError as error:
                click.echo(f"error: {error}", err=True)
                sys.exit(USER_ERROR)
            except KeyboardInterrupt as interrupt:
                click.echo(f"{interrupt}\ninterrupted".lstrip(), err=True)
                sys.exit(INTERRUPTED)

    return wrapped


class Command(click.RichCommand):
    """A command whose help may meet a stream that is closed or full, as all that it says may."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with lenient_streams():
            try:
                return super().main(*args, **kwargs)
            except SystemExit as end:
                if not end.code:
                    friendly(check_told)()
                raise


@contextmanager
def needing(extra: str, *packages: str) -> Iterator[None]:
    """Lasts as long as a command is loaded that needs the packages of an extra.

    Raises:
        ConfigError: one is missing or cannot be loaded; with the command that installs them.
    """
    install = f'pip install "baikal-deploy[{extra}]"'
    try:
        for package in packages:
            if find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise ConfigError(f"the package {package} is not installed: {install}") from error
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"the package {package} cannot be loaded ({reason}): {install} --force-reinstall"
        ) from error
