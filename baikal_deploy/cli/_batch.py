"""baikal-run on a folder: one image after the other, and a summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from baikal_deploy.cli._log import Log
from baikal_deploy.cli._summary import Batch, Summary
from baikal_deploy.collection import Collection
from baikal_deploy.config import RunConfig
from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.folder import Folder
from baikal_deploy.volumes.places import real_path
from baikal_deploy.volumes.urls import Source, inside

SOME_FAILED = 1
RunOne = Callable[[RunConfig], frozenset[Path]]


def find_batch(config: RunConfig) -> Batch | None:
    """The images at the input if it holds several that are all to be denoised; else None.

    Raises:
        VolumeError: it cannot be looked through.
    """
    return Folder.at(config.input) or (Collection.at(config.input) if config.series is None else None)


def run_batch(batch: Batch, config: RunConfig, log: Log, run_one: RunOne, *, dry_run: bool) -> Summary:
    """Denoises several images; after a bad one it goes on with the next.

    Args:
        config: for all of them; its output is where all go.
        run_one: denoises one image, and says which files it was read from.

    Raises:
        ConfigError, ModelError, EngineUnavailable: what no image could be denoised with.
        VolumeError: the output cannot be used.
    """
    _check_options(config)
    summary = Summary()
    with batch.outputs(config, dry_run=dry_run) as outputs:
        for number, (image, output) in enumerate(outputs.items(), 1):
            if output is None:
                summary.before += 1
                continue
            log.image(number, len(outputs), image, inside(image, batch.path))
            _run_image(image, replace(config, input=image, output=output), log, run_one, summary)
    if not dry_run and not summary.failed:
        batch.finish(config)
    return summary


def _run_image(image: Source, config: RunConfig, log: Log, run_one: RunOne, summary: Summary) -> None:
    real = real_path(image)
    if real in summary.parts:
        log.part(image, summary.parts[real])
        return
    try:
        others = run_one(config) - {real}
    except (ConfigError, ModelError, EngineUnavailable):
        raise
    except BaikalError as error:
        log.failed(error)
        summary.failed[image] = str(error)
    else:
        summary.done += 1
        summary.parts |= dict.fromkeys(others, image)


def _check_options(config: RunConfig) -> None:
    for name in ("guide", "uncertainty", "mask"):
        if (path := getattr(config, name)) is not None:
            raise ConfigError(f"--{name} {path}: is for one image, not for several; leave it out")
