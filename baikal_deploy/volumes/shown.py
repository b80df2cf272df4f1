"""Display ranges: the intensities that viewers show as black and as full colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from baikal_deploy.volumes.base import VolumeInfo

Range = tuple[float, float]
"""The two intensities."""


def displayed(info: VolumeInfo, ranges: Sequence[Range | None]) -> dict[str, Any] | None:
    """Block of an output's channels with display ranges; those that the input has stay.

    Args:
        info: of the output.
        ranges: of its channels.
    """
    omero = {"channels": [{} for _ in ranges]} if info.omero is None else info.omero
    found_channels = omero.get("channels")
    channels: list[Any] = found_channels if isinstance(found_channels, list) else []
    known = len(channels) == len(ranges) and all(isinstance(channel, dict) for channel in channels)
    if not known or (info.omero is None and not any(ranges)):
        return info.omero  # nobody knows which is which
    shown = [
        own if found is None or window_of(info, number) else own | {"window": _rounded(found, info.dtype)}
        for number, (own, found) in enumerate(zip(channels, ranges, strict=True))
    ]
    return {**omero, "channels": shown}


def window_of(info: VolumeInfo, channel: int) -> Mapping[str, Any] | None:
    """Display range that a channel has; None where it has none.

    Args:
        info: of the image.
        channel: its number.
    """
    try:
        window = (info.omero or {})["channels"][channel]["window"]
    except (KeyError, IndexError, TypeError):  # the block is the input's and may have any form
        return None
    if not isinstance(window, Mapping) or window.get("start") is None or window.get("end") is None:
        return None
    return window


def _rounded(found: Range, dtype: np.dtype[Any]) -> dict[str, float]:
    start, end = found
    if dtype.kind == "f":
        return {"start": start, "end": end}
    limits = np.iinfo(dtype)
    return {
        "start": float(max(limits.min, min(math.floor(start), limits.max - 1))),
        "end": float(min(limits.max, max(math.ceil(end), limits.min + 1))),
    }
