"""The summary of the images of a folder, a plate or a store of several, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baikal_deploy.run.many.listener import Summary

MAX_LISTED = 5


def describe_summary(summary: Summary) -> list[str]:
    """The summary, in lines.

    Args:
        summary: of the images.
    """
    done = summary.done + summary.before
    verb = "can be denoised" if summary.dry_run else "denoised"
    before = f" ({summary.before} of them before)" if summary.before else ""
    total = done + len(summary.failed)
    lines = [f"{summary.path}: {done} of {total} images {verb}{before}, {len(summary.failed)} failed"]
    folders = [other for other in summary.others if other.is_dir() and not other.is_symlink()]
    if files := [other for other in summary.others if other not in folders]:
        lines.append(f"not looked at, since nothing here reads such files: {_listed(files)}")
    if folders:
        lines.append(f"folders, into which only --recursive looks: {_listed(folders)}")
    lines += [f"note: {note}" for note in summary.notes]
    return lines + [f"failed: {message}" for message in summary.failed.values()]


def _listed(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths[:MAX_LISTED]]
    return ", ".join([*names, *(["…"] if len(paths) > MAX_LISTED else [])])
