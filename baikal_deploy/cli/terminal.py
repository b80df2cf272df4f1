"""Messages of the commands: plain ones, and one line when something is wrong."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from baikal_deploy.cli._streams import check_told, lenient_streams
from baikal_deploy.errors import BaikalError, ConfigError
from baikal_deploy.host.extras import install
from baikal_deploy.untrusted.text import visible
from baikal_deploy.volumes.urls import Source

BUG = 1
USER_ERROR = 2
INTERRUPTED = 130
_SMALLER = ("--memory", "--tile", "--batch")
"""Options of a command, where it has them, with which it takes less memory."""


class PlainConsole(Console):
    """Console that prints what it is given as text and as nothing else. A text that is printed is one line.

    Names in files and paths may hold what looks like markup, and what a terminal takes for a command.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Draw tables, bars and all else that rich draws with its text made visible.

        What rich says to the terminal itself stays.
        """
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else "\n".join(map(visible, text.split("\n"))), style, control)


def plain_console() -> PlainConsole:
    """Console for messages on stderr."""
    return PlainConsole(stderr=True)


def tell(message: object, *, err: bool = False) -> None:
    """Print a line for people, on stdout or stderr.

    Args:
        message: is made visible: it may hold what a terminal takes for a command.
        err: to stderr.
    """
    click.echo(visible(str(message)), err=err)


def tell_path(path: Source) -> None:
    """Print the path or URL of what was written on stdout: as it is for programs, made visible for people."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    told = path if isinstance(path, Path) and not is_terminal else str(path)
    click.echo(visible(str(told)) if is_terminal else told, color=True)  # else it would lose its escapes


def friendly(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors raised on purpose, and memory that is too small, into one line on stderr and exit code 2.

    Anything else is a bug and keeps its traceback. An interrupt ends with exit code 130.

    Args:
        command: the function to wrap.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        with lenient_streams():
            try:
                command(*args, **kwargs)
                check_told()
            except BaikalError as error:
                tell(f"error: {error}", err=True)
                sys.exit(USER_ERROR)
            except MemoryError as error:
                tell(f"error: {too_large(error)}", err=True)
                sys.exit(USER_ERROR)
            except KeyboardInterrupt as interrupt:
                for line in filter(None, (str(interrupt), "interrupted")):
                    tell(line, err=True)
                sys.exit(INTERRUPTED)

    return wrapped


def too_large(error: MemoryError) -> str:
    """Message that says what the memory could not hold, and which options of the command make it smaller.

    Args:
        error: of Python or NumPy.
    """
    context = click.get_current_context(silent=True)
    known = [name for one in (context.command.params if context else []) for name in one.opts]
    smaller = [name for name in _SMALLER if name in known]
    advice = f", or give less for {', '.join(smaller)}" if smaller else ""
    what = " ".join(str(error).split()) or "something that is needed could not be held"
    return f"the memory is too small: {what}; close other programs{advice}"


class Command(click.RichCommand):
    """Command whose help may meet a stream that is closed or full, as all that it says may.

    Its arguments may be names of files, which a shell filled in.

    Attributes:
        examples: commands that its help shows, and what each does.
    """

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples at the end of the help."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            table = Table.grid(padding=(0, 2))
            for line, what in self.examples:
                table.add_row(Text(line), Text(what, "dim"))
            formatter.write(Panel(table, title="Examples", title_align="left", border_style="dim"))

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            vars(error).update(message=visible(error.message))
            raise

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
    """Load, within the context, a command that needs the packages of an extra.

    Args:
        extra: name of the extra.
        packages: names by which its packages are imported.

    Raises:
        ConfigError: one is missing or cannot be loaded; with the command that installs them.
    """
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
            raise ConfigError(f"the package {package} is not installed: {install(extra)}") from error
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"the package {package} cannot be loaded ({reason}): {install(extra, again=True)}"
        ) from error
