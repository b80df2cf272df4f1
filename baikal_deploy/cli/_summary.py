"""What became of the images of a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from baikal_deploy.folder import Folder

MAX_LISTED = 5


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
