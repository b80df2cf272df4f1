"""A picture of a run: projections before and after, and what has changed."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.pixels.figures import figures
from baikal_deploy.report.grey import contrast, diverging, grey
from baikal_deploy.report.panels import Panel, Row, row_of, save_rows
from baikal_deploy.report.projection import Projection, project
from baikal_deploy.volumes.base import Volume

MOST_CHANNELS = 4


def save_preview(path: Path, before: Volume, after: Volume) -> None:
    """Write a PNG of the first timepoint: a row for each channel, MOST_CHANNELS at most.

    Before and after are in the same grey scale, that of the result.

    Raises:
        VolumeError: pixels that cannot be read, or the file cannot be written.
    """
    channels = range(before.info.num_channels)
    rows = [_row(before, after, channel) for channel in channels[:MOST_CHANNELS]]
    save_rows(path, rows, "the preview cannot be written", "; the output is complete")


def _row(before: Volume, after: Volume, channel: int) -> Row:
    """Picture of a channel: three panels with their titles."""
    found = project(before, after, channel)
    shown = contrast(found.after, found.before)
    pixels = [grey(found.before, shown), grey(found.after, shown), diverging(found.difference, found.limit)]
    several = before.info.num_channels > 1
    name = f"{_short(before.info.channel_name(channel))}, " if several else ""
    scales = (*[f"{_kind('max', found)}; {figures(shown[0])} to {figures(shown[1])}"] * 2, _scale(found))
    titles = (f"{name}before", "after", "after - before")
    return row_of([Panel(*one) for one in zip(pixels, titles, scales, strict=True)])


def _kind(what: str, found: Projection) -> str:
    """Describe how the planes were put together."""
    thin = "" if found.step == 1 else f", 1 pixel in {found.step}"
    if found.depth == 1:
        return f"one plane{thin}"
    some = f"{found.planes}" if found.planes == found.depth else f"{found.planes} of {found.depth}"
    return f"{what} along z, {some} planes{thin}"


def _scale(found: Projection) -> str:
    limit = figures(found.limit, 3)
    return f"{_kind('mean', found)}; blue -{limit}, red +{limit}"


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= 24 else f"{name[:23]}…"
