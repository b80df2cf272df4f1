"""A listener that is told how runs go, and the summary of several images in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from baikal_deploy.errors import BaikalError
from baikal_deploy.run.execution import Progress
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.urls import Source


@dataclass
class Summary:
    """Summary of the images of an input: how many were denoised, and which were not.

    Attributes:
        path: what holds them, or the one image.
        others: what is not an image that can be read, in a folder; hidden files are not looked at.
        notes: remarks on what holds the images, in sentences.
        dry_run: whether all was planned alone; ``done`` is how many can be denoised then.
        done: how many were denoised.
        before: how many others an earlier run had denoised.
        outputs: the results of both, in order.
        parts: files that were read as a part of another's image, which comes second.
        failed: the message for each image that could not be denoised.
    """

    path: Source
    others: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    done: int = 0
    before: int = 0
    outputs: list[Source] = field(default_factory=list)
    parts: dict[Source, Source] = field(default_factory=dict)
    failed: dict[Source, str] = field(default_factory=dict)


class Listener:
    """A listener that is told how runs go, and does nothing about it; derive from it one that does.

    >>> class Printed(Listener):
    ...     def failed(self, error):
    ...         print(error)
    """

    def image(self, number: int, count: int, path: Source, name: str) -> None:
        """Hear of the next of several images.

        Args:
            number: counted from 1.
            count: of all images.
            path: of the image.
            name: of the image in what holds them all.
        """

    def part(self, path: Source, first: Source) -> None:
        """Hear of an image that needs no work: it is a part of another one.

        Args:
            path: of the image.
            first: image that it is a part of.
        """

    def planned(self, run: Run, seconds: float | None) -> None:
        """Hear that a run was planned.

        Args:
            run: the run, not executed yet.
            seconds: that it would take, if it is not to be executed; else None.
        """

    def workers(self, description: str) -> None:
        """Hear that there are workers that the run will be shared out to.

        Args:
            description: of the workers, for people.
        """

    @contextmanager
    def denoising(self, run: Run) -> Iterator[Progress]:
        """Last as long as a run is executed; yields what is told its progress.

        Args:
            run: the run.
        """
        yield lambda done, total: None

    def done(self, report: RunReport) -> None:
        """Hear that a run was finished.

        Args:
            report: of the run.
        """

    def failed(self, error: BaikalError) -> None:
        """Hear that one of several images could not be denoised; the others follow.

        Args:
            error: with a message for people.
        """

    def summary(self, summary: Summary) -> None:
        """Hear that all of several images were tried.

        Args:
            summary: of the images.
        """
