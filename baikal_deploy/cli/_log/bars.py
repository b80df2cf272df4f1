"""Progress in a terminal: the images of a folder, the planes of a volume, its network evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from baikal_deploy.cli._log.meter import Meter, Reading
from baikal_deploy.pixels.figures import figures
from baikal_deploy.run.execution import Progress as Advance


@contextmanager
def bars(console: Console, meter: Meter, images: tuple[int, int] | None) -> Iterator[Advance]:
    """Show bars as long as the context lasts; nothing is left of them.

    Args:
        console: to draw them on.
        meter: of the run.
        images: which image of a folder this is, counted from 1, and of how many; None: there is one alone.

    Returns:
        The function to call as the run advances.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("{task.fields[pace]}"), console=console, transient=True) as shown:
        if images is not None:
            number, count = images
            shown.add_task("images", total=count, completed=number - 1, pace="")
        planes = shown.add_task("planes", total=None, pace="")
        evaluations = shown.add_task("evaluations", total=None, pace="")

        def advance(done: int, total: int) -> None:
            reading = meter.read(done, total)
            shown.update(planes, total=reading.all_planes, completed=reading.planes)
            shown.update(evaluations, total=total, completed=done, pace=_pace(reading))

        yield advance


def _pace(reading: Reading) -> str:
    if reading.per_second is None or reading.seconds_left is None:
        return ""
    return f"{figures(reading.per_second, 3)}/s, {timedelta(seconds=round(reading.seconds_left))} left"
