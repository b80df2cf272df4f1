"""The summary of the images of a folder, a plate or a store of several, for people."""

from __future__ import annotations

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
    if summary.others:
        names = [other.name for other in summary.others[:MAX_LISTED]]
        more = ["…"] if len(summary.others) > MAX_LISTED else []
        lines.append(f"not looked at, as of no format that can be read: {', '.join(names + more)}")
    lines += [f"note: {note}" for note in summary.notes]
    return lines + [f"failed: {message}" for message in summary.failed.values()]
