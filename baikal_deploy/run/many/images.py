"""One image after the other, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.many.folder import Folder
from baikal_deploy.run.many.plate import Collection
from baikal_deploy.volumes.places import real_path
from baikal_deploy.volumes.urls import Source, inside

SOME_FAILED = 1


class Listener(Protocol):
    """Who is told what becomes of several images."""

    def image(self, number: int, count: int, path: Source, name: str) -> None:
        """The next image.

        Args:
            number: counted from 1.
            name: of the image in what holds them all.
        """

    def part(self, path: Source, first: Source) -> None:
        """An image that needs no work: it is a part of another one."""

    def failed(self, error: BaikalError) -> None:
        """An image could not be denoised."""


@dataclass(frozen=True)
class Ran:
    """What became of one image.

    Attributes:
        files: that it was read from.
        before: whether an earlier run had denoised it.
    """

    files: frozenset[Path]
    before: bool


RunOne = Callable[[RunConfig], Ran]


def find_batch(config: RunConfig) -> Batch | None:
    """The images at the input if it holds several that are all to be denoised; else None.

    Raises:
        VolumeError: it cannot be looked through.
    """
    return Folder.at(config.input) or (Collection.at(config.input) if config.series is None else None)


def run_batch(
    batch: Batch, config: RunConfig, listener: Listener, run_one: RunOne, *, dry_run: bool
) -> Summary:
    """Denoises several images; after a bad one it goes on with the next.

    Args:
        config: for all of them; its output is where all go.
        run_one: denoises one image.

    Raises:
        ConfigError, ModelError, EngineUnavailable: what no image could be denoised with.
        VolumeError: the output cannot be used.
    """
    _check_options(config)
    summary = Summary()
    with batch.outputs(config, dry_run=dry_run) as outputs:
        for number, (image, output) in enumerate(outputs.items(), 1):
            listener.image(number, len(outputs), image, inside(image, batch.path))
            _run_image(image, replace(config, input=image, output=output), listener, run_one, summary)
    if not dry_run and not summary.failed:
        batch.finish(config)
    return summary


def _run_image(
    image: Source, config: RunConfig, listener: Listener, run_one: RunOne, summary: Summary
) -> None:
    real = real_path(image)
    if real in summary.parts:
        listener.part(image, summary.parts[real])
        return
    try:
        ran = run_one(config)
    except (ConfigError, ModelError, EngineUnavailable):
        raise
    except BaikalError as error:
        listener.failed(error)
        summary.failed[image] = str(error)
    else:
        summary.done += not ran.before
        summary.before += ran.before
        summary.parts |= dict.fromkeys(ran.files - {real}, image)


def _check_options(config: RunConfig) -> None:
    for name in ("guide", "uncertainty", "mask"):
        if (path := getattr(config, name)) is not None:
            raise ConfigError(f"--{name} {path}: is for one image, not for several; leave it out")


Batch = Folder | Collection


@dataclass
class Summary:
    """What became of the images.

    Attributes:
        done: how many were denoised.
        before: how many others an earlier run had denoised.
        parts: files that were read as a part of another's image, which comes second.
        failed: the message for each image that could not be denoised.
    """

    done: int = 0
    before: int = 0
    parts: dict[Source, Source] = field(default_factory=dict)
    failed: dict[Source, str] = field(default_factory=dict)
