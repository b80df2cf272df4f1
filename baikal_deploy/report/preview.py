"""A picture of a run: projections before and after, and what has changed."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import whole_file
from baikal_deploy.report.grey import Picture, contrast, diverging, grey
from baikal_deploy.report.projection import Projection, project
from baikal_deploy.report.words import number
from baikal_deploy.volumes.base import Volume

MOST_CHANNELS = 4
MARGIN, HEADER = 16, 44
SMALLEST = 256
"""Side of a panel: smaller planes are shown larger, by whole factors."""
# The font that Pillow brings has no true minus sign.
INK, SOFT, LINE = "#16232e", "#566777", "#d9e0e6"
TITLE, NOTE = 15, 12
"""Sizes of the texts, in pixels."""


def save_preview(path: Path, before: Volume, after: Volume) -> None:
    """Write a PNG of the first timepoint: a row for each channel, MOST_CHANNELS at most.

    Before and after are in the same grey scale, that of the result.

    Raises:
        VolumeError: pixels that cannot be read, or the file cannot be written.
    """
    channels = range(before.info.num_channels)
    rows = [_row(before, after, channel) for channel in channels[:MOST_CHANNELS]]
    width = rows[0].width
    picture = Image.new("RGB", (width, MARGIN + sum(row.height for row in rows)), "white")
    for place, row in enumerate(rows):
        picture.paste(row, (0, place * row.height))
    try:
        with whole_file(path) as new:
            picture.save(new, format="PNG", optimize=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise VolumeError(
            f"{path}: the preview cannot be written ({reason}); the output is complete"
        ) from error


def _row(before: Volume, after: Volume, channel: int) -> Image.Image:
    """Picture of a channel: three panels with their titles."""
    found = project(before, after, channel)
    shown = contrast(found.after, found.before)
    panels = [grey(found.before, shown), grey(found.after, shown), diverging(found.difference, found.limit)]
    pictures = [_enlarged(panel) for panel in panels]
    width, height = pictures[0].size
    row = Image.new("RGB", (3 * (width + MARGIN) + MARGIN, HEADER + height), "white")
    draw = ImageDraw.Draw(row)
    several = before.info.num_channels > 1
    name = f"{_short(before.info.channel_name(channel))}, " if several else ""
    scales = (*[f"{_kind('max', found)}; {number(shown[0])} to {number(shown[1])}"] * 2, _scale(found))
    titles = (f"{name}before", "after", "after - before")
    for place, (panel, title, scale) in enumerate(zip(pictures, titles, scales, strict=True)):
        left = MARGIN + place * (width + MARGIN)
        draw.text((left, 6), title, fill=INK, font_size=TITLE)
        draw.text((left, 25), scale, fill=SOFT, font_size=NOTE)
        row.paste(panel, (left, HEADER))
        draw.rectangle((left - 1, HEADER - 1, left + width, HEADER + height), outline=LINE)
    return row


def _enlarged(panel: Picture) -> Image.Image:
    height, width = panel.shape[:2]
    factor = max(1, -(-SMALLEST // max(height, width)))
    return (
        Image.fromarray(panel)
        .convert("RGB")
        .resize((factor * width, factor * height), Image.Resampling.NEAREST)
    )


def _kind(what: str, found: Projection) -> str:
    """Describe how the planes were put together."""
    thin = "" if found.step == 1 else f", 1 pixel in {found.step}"
    if found.depth == 1:
        return f"one plane{thin}"
    some = f"{found.planes}" if found.planes == found.depth else f"{found.planes} of {found.depth}"
    return f"{what} along z, {some} planes{thin}"


def _scale(found: Projection) -> str:
    limit = number(found.limit, 3)
    return f"{_kind('mean', found)}; blue -{limit}, red +{limit}"


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= 24 else f"{name[:23]}…"
