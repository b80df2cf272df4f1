"""What became of the images of a folder, a plate or a store of several images."""

from __future__ import annotations

from baikal_deploy.run.many.images import Batch, Summary

MAX_LISTED = 5


def describe_summary(batch: Batch, summary: Summary, *, dry_run: bool) -> list[str]:
    """The summary, in lines."""
    done = summary.done + summary.before
    verb = "can be denoised" if dry_run else "denoised"
    before = f" ({summary.before} of them before)" if summary.before else ""
    total = done + len(summary.failed)
    lines = [f"{batch.path}: {done} of {total} images {verb}{before}, {len(summary.failed)} failed"]
    if batch.others:
        names = [other.name for other in batch.others[:MAX_LISTED]]
        more = ["…"] if len(batch.others) > MAX_LISTED else []
        lines.append(f"not looked at, as of no format that can be read: {', '.join(names + more)}")
    return lines + [f"failed: {message}" for message in summary.failed.values()]
