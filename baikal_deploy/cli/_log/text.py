"""Log of baikal-run on stderr, while it works: nothing, text, or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from baikal_deploy.cli._log.meter import Interval, Meter, Reading
from baikal_deploy.cli._log.plan import describe, duration
from baikal_deploy.cli._summary import describe_summary
from baikal_deploy.cli.terminal import plain_console, tell
from baikal_deploy.errors import BaikalError
from baikal_deploy.pixels.figures import figures
from baikal_deploy.run.execution import Progress
from baikal_deploy.run.many.listener import Listener, Summary
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.urls import Source

LINE_SECONDS = 30.0
"""Seconds between two lines of progress in a log file."""


class Log(Listener):
    """Log that says nothing but errors, as --quiet asks; the others say more."""

    @contextmanager
    def session(self) -> Iterator[None]:
        """Log all that the command does within the context. Errors that end it pass through."""
        yield

    def following(self, path: Source, timeout: float) -> None:
        """Tell that an input that grows is waited for.

        Args:
            path: of the input.
            timeout: seconds without growth after which it has ended; see ``Follow``.
        """

    def failed(self, error: BaikalError) -> None:
        tell(f"error: {error}", err=True)


class TextLog(Log):
    """Log for people: bars in a terminal, and a line now and then elsewhere."""

    def __init__(self) -> None:
        self._console = plain_console()
        self._images: tuple[int, int] | None = None

    def _print(self, *lines: str) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True)

    def image(self, number: int, count: int, path: Source, name: str) -> None:
        self._images = number, count
        self._print(f"[{number}/{count}] {name}")

    def part(self, path: Source, first: Source) -> None:
        self._print(f"a part of {first.name}")

    def following(self, path: Source, timeout: float) -> None:
        self._print(f"following {path} until nothing was written for {timeout:g} s; Ctrl-C ends it there")

    def planned(self, run: Run, seconds: float | None) -> None:
        if run.finished:
            self._print(f"{run.config.result}: complete already, as this command makes it")
            return
        self._print(*describe(run))
        if run.refused is not None:
            self._print(f"note: the run would be refused: {run.refused}")
        if seconds is not None:
            self._print(f"estimated time: {duration(seconds)}; nothing was written (--dry-run)")

    def workers(self, description: str) -> None:
        self._print(f"workers   {description}")

    @contextmanager
    def denoising(self, run: Run) -> Iterator[Progress]:
        meter = Meter(lambda: run.recipes.num_planes)
        # FORCE_COLOR makes rich take a file for a terminal.
        if self._console.file.isatty() and not self._console.is_dumb_terminal:
            from baikal_deploy.cli._log.bars import bars

            with bars(self._console, meter, self._images) as progress:
                yield progress
            return
        interval = Interval(LINE_SECONDS)

        def advance(done: int, total: int) -> None:
            reading = meter.read(done, total)
            if interval.over():
                self._print(in_words(reading))

        yield advance

    def done(self, report: RunReport) -> None:
        if report.before:
            return
        self._print(*(f"note: {note}" for note in report.notes))
        speed = f", {figures(report.per_second, 3)} evaluations a second" if report.evaluations else ""
        self._print(f"done in {duration(report.seconds)}{speed}")

    def failed(self, error: BaikalError) -> None:
        self._print(f"error: {error}")

    def summary(self, summary: Summary) -> None:
        self._print(*describe_summary(summary))


def in_words(reading: Reading) -> str:
    """A reading as a line of a log file."""
    parts: Sequence[str] = [
        f"{reading.planes} of {reading.all_planes} planes",
        f"{reading.evaluations} of {reading.all_evaluations} evaluations",
    ]
    if reading.per_second is not None and reading.seconds_left is not None:
        parts = [
            *parts,
            f"{figures(reading.per_second, 3)} a second",
            f"{duration(reading.seconds_left)} left",
        ]
    return f"denoising: {', '.join(parts)}"
