"""Rows of pictures with a title and a note each, as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import whole_file
from baikal_deploy.report.grey import Picture

MARGIN, HEADER = 16, 44
SMALLEST = 256
"""Side of a panel: smaller planes are shown larger, by whole factors."""
# The font that Pillow brings has no true minus sign.
INK, SOFT, LINE = "#16232e", "#566777", "#d9e0e6"
TITLE, NOTE = 15, 12
"""Sizes of the texts, in pixels."""

Row = Image.Image


@dataclass(frozen=True)
class Panel:
    """A picture with its texts.

    Attributes:
        pixels: grey values (H, W) or colours (H, W, 3); those of a row have one shape.
        title, note: above it, one line each.
    """

    pixels: Picture
    title: str
    note: str


def row_of(panels: Sequence[Panel]) -> Row:
    """Panels side by side.

    Args:
        panels: at least one.
    """
    pictures = [_enlarged(panel.pixels) for panel in panels]
    width, height = pictures[0].size
    row = Image.new("RGB", (len(panels) * (width + MARGIN) + MARGIN, HEADER + height), "white")
    draw = ImageDraw.Draw(row)
    for place, (picture, panel) in enumerate(zip(pictures, panels, strict=True)):
        left = MARGIN + place * (width + MARGIN)
        draw.text((left, 6), panel.title, fill=INK, font_size=TITLE)
        draw.text((left, 25), panel.note, fill=SOFT, font_size=NOTE)
        row.paste(picture, (left, HEADER))
        draw.rectangle((left - 1, HEADER - 1, left + width, HEADER + height), outline=LINE)
    return row


def save_rows(path: Path, rows: Sequence[Row], failure: str, consequence: str = "") -> None:
    """Write rows, one below the other.

    Args:
        path: of a PNG.
        rows: at least one.
        failure, consequence: for the message, before and after the reason.

    Raises:
        VolumeError: the file cannot be written.
    """
    width, height = max(row.width for row in rows), MARGIN + sum(row.height for row in rows)
    picture, top = Image.new("RGB", (width, height), "white"), 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    try:
        with whole_file(path) as new:
            picture.save(new, format="PNG", optimize=True)
    except OSError as error:
        raise VolumeError(f"{path}: {failure} ({error.strerror or error}){consequence}") from error


def _enlarged(panel: Picture) -> Image.Image:
    height, width = panel.shape[:2]
    factor = max(1, -(-SMALLEST // max(height, width)))
    return (
        Image.fromarray(panel)
        .convert("RGB")
        .resize((factor * width, factor * height), Image.Resampling.NEAREST)
    )
