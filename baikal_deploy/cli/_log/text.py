"""Log of baikal-run on stderr, while it works: nothing, text, or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from baikal_deploy.cli._log.meter import Interval, Meter, Reading
from baikal_deploy.cli._log.plan import describe, duration
from baikal_deploy.cli._summary import describe_summary
from baikal_deploy.cli.terminal import plain_console, tell
from baikal_deploy.errors import BaikalError
from baikal_deploy.run.many.images import Batch, Summary
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Progress, Run
from baikal_deploy.volumes.urls import Source

LINE_SECONDS = 30.0
"""Seconds between two lines of progress in a log file."""


class Log:
    """Log that says nothing but errors, as --quiet asks; the others say more."""

    @contextmanager
    def session(self) -> Iterator[None]:
        """Log all that the command does within the context. Errors that end it pass through."""
        yield

    def image(self, number: int, count: int, path: Source, name: str) -> None:
        """Begin the next image of a folder.

        Args:
            number: counted from 1.
            count: of all images.
            path: of the image.
            name: of the image in what holds them all.
        """

    def part(self, path: Source, first: Source) -> None:
        """Tell of an image of a folder that needs no work: it is a part of another one.

        Args:
            path: of the image.
            first: of the other one.
        """

    def following(self, path: Source, timeout: float) -> None:
        """Tell that an input that grows is waited for.

        Args:
            path: of the input.
            timeout: seconds without growth after which it has ended; see ``Follow``.
        """

    def planned(self, run: Run, seconds: float | None) -> None:
        """Tell the plan of a run.

        Args:
            run: the plan.
            seconds: that it would take, if it is not to be done.
        """

    def workers(self, description: str) -> None:
        """Tell of the workers that the run will be shared out to."""

    @contextmanager
    def denoising(self, run: Run) -> Iterator[Progress]:
        """Show progress as long as a run is executed."""
        yield lambda done, total: None

    def done(self, report: RunReport) -> None:
        """Tell that a run was finished."""

    def failed(self, error: BaikalError) -> None:
        """Tell that an image of a folder could not be denoised."""
        tell(f"error: {error}", err=True)

    def summary(self, batch: Batch, summary: Summary, *, dry_run: bool) -> None:
        """Tell that all images of a folder were tried.

        Args:
            batch: the images.
            summary: of their runs.
            dry_run: whether they were planned alone.
        """


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
            self._print(f"{run.config.target}: complete already, as this command makes it")
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
        speed = f", {report.per_second:.3g} evaluations a second" if report.evaluations else ""
        self._print(f"done in {duration(report.seconds)}{speed}")

    def failed(self, error: BaikalError) -> None:
        self._print(f"error: {error}")

    def summary(self, batch: Batch, summary: Summary, *, dry_run: bool) -> None:
        self._print(*describe_summary(batch, summary, dry_run=dry_run))


def in_words(reading: Reading) -> str:
    """A reading as a line of a log file."""
    parts: Sequence[str] = [
        f"{reading.planes} of {reading.all_planes} planes",
        f"{reading.evaluations} of {reading.all_evaluations} evaluations",
    ]
    if reading.per_second is not None and reading.seconds_left is not None:
        parts = [*parts, f"{reading.per_second:.3g} a second", f"{duration(reading.seconds_left)} left"]
    return f"denoising: {', '.join(parts)}"
