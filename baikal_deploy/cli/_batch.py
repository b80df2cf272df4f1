"""baikal-run on a folder: one image after the other, and a summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from baikal_deploy.cli._log import Log
from baikal_deploy.cli._summary import Summary
from baikal_deploy.config import RunConfig
from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.folder import Folder

SOME_FAILED = 1
RunOne = Callable[[RunConfig], frozenset[Path]]


def run_folder(folder: Folder, config: RunConfig, log: Log, run_one: RunOne) -> Summary:
    """Denoises the images of a folder; after a bad one it goes on with the next.

    Args:
        config: for all of them; its output is the folder to write to.
        run_one: denoises one image, and says which files it was read from.

    Raises:
        ConfigError, ModelError, EngineUnavailable: what no image could be denoised with.
        VolumeError: the output folder cannot be used.
    """
    _check_options(config)
    summary, existed = Summary(), config.target.exists()
    outputs = folder.outputs(config.target, config.series)
    try:
        for number, (image, output) in enumerate(outputs.items(), 1):
            log.image(number, len(outputs), image)
            _run_image(image, replace(config, input=image, output=output), log, run_one, summary)
    finally:
        if not existed and not any(config.target.iterdir()):  # a dry run, or nothing could be denoised
            config.target.rmdir()
    return summary


def _run_image(image: Path, config: RunConfig, log: Log, run_one: RunOne, summary: Summary) -> None:
    if image.resolve() in summary.parts:
        log.part(image, summary.parts[image.resolve()])
        return
    try:
        others = run_one(config) - {image.resolve()}
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
            raise ConfigError(f"--{name} {path}: is for one image, not for a folder; leave it out")
