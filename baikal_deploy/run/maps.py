"""The infos of the images that a run writes: the result, and maps of how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.volumes.base import VolumeInfo

STD_SHOWN = 0.1
"""Part of the result's display range that a standard deviation is shown over."""


def image_infos(info: VolumeInfo) -> Iterator[VolumeInfo]:
    """Infos of the result, the standard deviation and the suspect pixels of a volume.

    Args:
        info: of the result.
    """
    yield info
    yield _map_of(info, np.float32, _std_window)
    yield _map_of(info, np.uint8, lambda _: {"start": 0.0, "end": 1.0, "min": 0.0, "max": 1.0})


Window = Callable[[Any], dict[str, float]]
"""Display range of a map's channel, by that of the result, which may have any form."""


def _map_of(info: VolumeInfo, dtype: DTypeLike, window: Window) -> VolumeInfo:
    """A map's own info."""
    return replace(info, dtype=np.dtype(dtype), omero=_with_windows(info.omero, window))


def _with_windows(omero: dict[str, Any] | None, window: Window) -> dict[str, Any] | None:
    """Channel names and colours with other display ranges."""
    channels = (omero or {}).get("channels")
    if omero is None or not isinstance(channels, list) or not all(isinstance(c, dict) for c in channels):
        return None
    return omero | {"channels": [c | {"window": window(c.get("window"))} for c in channels]}


def _std_window(result: Any) -> dict[str, float]:
    """Display range of a standard deviation: a part of the result's."""
    try:
        end = STD_SHOWN * (float(result["end"]) - float(result["start"]))
    except (KeyError, TypeError, ValueError):
        return {}
    return {"start": 0.0, "end": end, "min": 0.0, "max": end} if end > 0 else {}
