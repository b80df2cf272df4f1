"""Who is told how runs go, and what has become of several images in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from baikal_deploy.errors import BaikalError
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Progress, Run
from baikal_deploy.volumes.urls import Source


@dataclass
class Summary:
    """What became of the images.

    Attributes:
        path: what holds them, or the one image.
        others: what is no image that can be read, in a folder; hidden files are not looked at.
        dry_run: whether all was planned alone; ``done`` is how many can be denoised then.
        done: how many were denoised.
        before: how many others an earlier run had denoised.
        outputs: the results of both, in order.
        parts: files that were read as a part of another's image, which comes second.
        failed: the message for each image that could not be denoised.
    """

    path: Source
    others: tuple[Path, ...] = ()
    dry_run: bool = False
    done: int = 0
    before: int = 0
    outputs: list[Path] = field(default_factory=list)
    parts: dict[Source, Source] = field(default_factory=dict)
    failed: dict[Source, str] = field(default_factory=dict)


class Listener:
    """Is told how runs go, and does nothing about it; derive from it what does.

    >>> class Printed(Listener):
    ...     def failed(self, error):
    ...         print(error)
    """

    def image(self, number: int, count: int, path: Source, name: str) -> None:
        """The next of several images.

        Args:
            number: counted from 1.
            name: of the image in what holds them all.
        """

    def part(self, path: Source, first: Source) -> None:
        """That image needs no work: it is a part of another one."""

    def planned(self, run: Run, seconds: float | None) -> None:
        """A run was planned.

        Args:
            seconds: that it would take, if it is not to be done.
        """

    def workers(self, description: str) -> None:
        """Workers are there that the run will be shared out to."""

    @contextmanager
    def denoising(self, run: Run) -> Iterator[Progress]:
        """Lasts as long as a run is executed; yields what is told its progress."""
        yield lambda done, total: None

    def done(self, report: RunReport) -> None:
        """A run was finished."""

    def failed(self, error: BaikalError) -> None:
        """That one of several images could not be denoised; the others follow."""

    def summary(self, summary: Summary) -> None:
        """All of several images were tried."""
