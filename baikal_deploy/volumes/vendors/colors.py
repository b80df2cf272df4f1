"""Colours of channels in CZI and ND2 files, as the microscope's software shows them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from xml.etree.ElementTree import Element

CHANNELS = ".//Information/Image/Dimensions/Channels/Channel"
SHOWN = ".//DisplaySetting/Channels/Channel"


def czi_colors(metadata: Element) -> list[str | None]:
    """Colours of the channels of a CZI file: those that they are shown in, or else were recorded with.

    None where the file tells none.

    Args:
        metadata: its XML.
    """
    channels = metadata.findall(CHANNELS)
    shown = {one.get("Id"): one for one in metadata.findall(SHOWN)}
    return [_of_xml(shown.get(one.get("Id"))) or _of_xml(one) for one in channels]


def _of_xml(channel: Element | None) -> str | None:
    text = None if channel is None else channel.findtext("Color")
    found = re.fullmatch(r"#(?:[0-9A-Fa-f]{2})?([0-9A-Fa-f]{6})", (text or "").strip())  # with its opacity
    return found[1].upper() if found else None


def nd2_colors(path: Path) -> list[str | None]:
    """Colours of the channels of an ND2 file.

    Args:
        path: the file.
    """
    with import_module("nd2").ND2File(path) as file:
        channels = getattr(file.metadata, "channels", None) or ()  # files of the oldest kind have none
        colors = [one.channel.color for one in channels]
    return [f"{color.r:02X}{color.g:02X}{color.b:02X}" for color in colors]
