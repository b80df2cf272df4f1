"""baikal-run on a folder: one image after the other, and a summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from baikal_deploy.config import RunConfig
from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.folder import Folder

SOME_FAILED = 1
MAX_LISTED = 5
RunOne = Callable[[RunConfig], frozenset[Path]]


@dataclass
class Summary:
    """What became of the images of a folder.

    Attributes:
        done: how many were denoised.
        parts: files that were read as a part of another's image, which comes second.
        failed: the message for each image that could not be denoised.
    """

    done: int = 0
    parts: dict[Path, Path] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


def run_folder(folder: Folder, config: RunConfig, console: Console, run_one: RunOne) -> Summary:
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
            console.print(f"[{number}/{len(outputs)}] {image.name}", soft_wrap=True)
            _run_image(image, replace(config, input=image, output=output), console, run_one, summary)
    finally:
        if not existed and not any(config.target.iterdir()):  # a dry run, or nothing could be denoised
            config.target.rmdir()
    return summary


def _run_image(image: Path, config: RunConfig, console: Console, run_one: RunOne, summary: Summary) -> None:
    if image.resolve() in summary.parts:
        console.print(f"a part of {summary.parts[image.resolve()].name}", soft_wrap=True)
        return
    try:
        others = run_one(config) - {image.resolve()}
    except (ConfigError, ModelError, EngineUnavailable):
        raise
    except BaikalError as error:
        console.print(f"error: {error}", soft_wrap=True)
        summary.failed[image] = str(error)
    else:
        summary.done += 1
        summary.parts |= dict.fromkeys(others, image)


def _check_options(config: RunConfig) -> None:
    for name in ("guide", "uncertainty", "mask"):
        if (path := getattr(config, name)) is not None:
            raise ConfigError(f"--{name} {path}: is for one image, not for a folder; leave it out")


def describe_summary(folder: Folder, summary: Summary, *, dry_run: bool) -> list[str]:
    """The summary, in lines."""
    total = summary.done + len(summary.failed)
    verb = "can be denoised" if dry_run else "denoised"
    lines = [f"{folder.path}: {summary.done} of {total} images {verb}, {len(summary.failed)} failed"]
    if folder.others:
        names = [other.name for other in folder.others[:MAX_LISTED]]
        more = ["…"] if len(folder.others) > MAX_LISTED else []
        lines.append(f"not looked at, as no TIFF file or Zarr store: {', '.join(names + more)}")
    return lines + [f"failed: {message}" for message in summary.failed.values()]
