"""Log for programs: one JSON object a line, as docs/guarantees.md describes them."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from baikal_deploy.cli._log.meter import Interval, Meter
from baikal_deploy.cli._log.text import Log
from baikal_deploy.cli._streams import check_told
from baikal_deploy.cli.terminal import BUG, INTERRUPTED, USER_ERROR, too_large
from baikal_deploy.errors import BaikalError
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.execution import Progress
from baikal_deploy.run.many.listener import Summary
from baikal_deploy.run.models.asked import Asked
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.urls import Source

PROGRESS_SECONDS = 5.0
"""Seconds between two reports of progress."""


class JsonLog(Log):
    """Log in JSON lines, beside which nothing is written to stderr.

    Warnings of libraries are notes, and errors end in JSON too.
    """

    def __init__(self) -> None:
        self._input: str | None = None

    def _write(self, event: str, **fields: Any) -> None:
        known = {} if self._input is None else {"input": self._input}
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        # JSON has no NaN and no infinity.
        record = json.loads(
            json.dumps({"event": event, "time": now, **known, **fields}), parse_constant=_none
        )
        click.echo(json.dumps(record), err=True)

    @contextmanager
    def session(self) -> Iterator[None]:
        logging.captureWarnings(True)
        handler = _Notes(self)
        logging.getLogger().addHandler(handler)
        try:
            yield
            check_told()
        except BaikalError as error:
            self._end(error, str(error), USER_ERROR)
        except MemoryError as error:
            self._end(MemoryError(), too_large(error), USER_ERROR)  # NumPy's is of a kind of its own
        except KeyboardInterrupt as interrupt:
            self._end(interrupt, str(interrupt) or "interrupted", INTERRUPTED)
        except Exception as error:
            self._end(error, str(error), BUG, traceback=traceback.format_exc())
        finally:
            logging.getLogger().removeHandler(handler)
            logging.captureWarnings(False)

    def _end(self, error: BaseException, message: str, exit_code: int, **more: Any) -> None:
        self._write("error", kind=type(error).__name__, message=message, exit_code=exit_code, **more)
        sys.exit(exit_code)

    def image(self, number: int, count: int, path: Source, name: str) -> None:
        self._input = str(path)
        self._write("image", number=number, count=count)

    def part(self, path: Source, first: Source) -> None:
        self.note(f"is a part of {first}")

    def note(self, message: str) -> None:
        """Write a note: a sentence to know of the input at hand."""
        self._write("note", message=message)

    def following(self, path: Source, timeout: float) -> None:
        self._input = str(path)
        self.note(f"following it until nothing was written for {timeout:g} s")

    def planned(self, run: Run, seconds: float | None) -> None:
        self._input = str(run.config.input)
        info = run.volume.info
        self._write(
            "planned",
            output=str(run.config.result),
            **({"output_is_no_tiff_as": run.plan.why} if run.plan.why else {}),
            axes="".join(axis.name for axis in info.axes),
            shape=info.shape,
            dtype=str(info.dtype),
            output_bytes=run.output_bytes,
            planes=run.recipes.num_planes,
            windows_per_plane=run.windows_per_plane,
            evaluations=run.evaluations + run.evaluations_again,
            evaluations_done=run.evaluations_done,
            estimated_seconds=seconds,
            finished=run.finished,
            provenance=run.provenance(Tally(), []),
        )
        if run.refused is not None:
            self.note(f"the run would be refused: {run.refused}")
        for remark in [*info.remarks, *Asked.of(run.config.model).remarks]:
            self.note(remark)
        for channel in run.recipes.channels:
            for note in run.recipes.first(channel).measurement.notes():
                self.note(note)

    def workers(self, description: str) -> None:
        self._write("workers", workers=description)

    @contextmanager
    def denoising(self, run: Run) -> Iterator[Progress]:
        meter, interval = Meter(lambda: run.recipes.num_planes), Interval(PROGRESS_SECONDS)

        def advance(done: int, total: int) -> None:
            reading = meter.read(done, total)
            if interval.over() or done == total:
                self._write(
                    "progress",
                    evaluations_done=done,
                    evaluations=total,
                    planes_done=reading.planes,
                    planes=reading.all_planes,
                    evaluations_per_second=reading.per_second,
                    seconds_left=reading.seconds_left,
                )

        yield advance

    def done(self, report: RunReport) -> None:
        for note in report.notes:
            self.note(note)
        self._write(
            "done",
            output=str(report.output),
            seconds=report.seconds,
            evaluations=report.evaluations,
            evaluations_per_second=report.per_second,
            before=report.before,
        )

    def failed(self, error: BaikalError) -> None:
        self._write("error", kind=type(error).__name__, message=str(error), exit_code=None)

    def summary(self, summary: Summary) -> None:
        self._input = str(summary.path)
        for note in summary.notes:
            self.note(note)
        self._write(
            "summary",
            done=summary.done,
            before=summary.before,
            failed={str(image): message for image, message in summary.failed.items()},
            not_looked_at=[str(path) for path in summary.others],
            dry_run=summary.dry_run,
        )


class _Notes(logging.Handler):
    """Handler that makes notes of what libraries warn of."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.note(f"{record.name}: {record.getMessage()}")


def _none(constant: str) -> None:
    """Return None in place of NaN and infinity."""
