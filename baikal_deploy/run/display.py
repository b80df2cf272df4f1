"""Display ranges of an output: the intensities that viewers show as black and as full colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.run.recipes import Recipes, sample
from baikal_deploy.volumes.base import VolumeInfo

Range = tuple[float, float]
"""The two intensities."""


def measured_ranges(recipes: Recipes) -> list[Range | None]:
    """Display ranges of all channels, as they were measured; None where a channel holds one value, or none.

    Channels that are denoised have the percentiles that the model is shown, of their structure without its
    noise; those that are copied the same percentiles of their pixels.

    Args:
        recipes: with the measurements of the beginning.
    """
    return [_range(_intensity(recipes, channel)) for channel in range(recipes.volume.info.num_channels)]


def _intensity(recipes: Recipes, channel: int) -> IntensityMap:
    if channel in recipes.channels:
        return recipes.first(channel).measurement.intensity
    if _window(recipes.volume.info, channel):  # which is kept
        return IntensityMap(0.0, 0.0)
    try:
        return Normalisation().of(sample(recipes.volume, (None, channel), recipes.on_error))
    except VolumeError:  # that a copied channel cannot be read is said when it is copied
        return IntensityMap(0.0, 0.0)


def _range(intensity: IntensityMap) -> Range | None:
    return None if intensity.is_constant else (intensity.low, intensity.high)


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
        own if found is None or _window(info, number) else own | {"window": _rounded(found, info.dtype)}
        for number, (own, found) in enumerate(zip(channels, ranges, strict=True))
    ]
    return {**omero, "channels": shown}


def _window(info: VolumeInfo, channel: int) -> Mapping[str, Any] | None:
    """Display range of a channel that the input has."""
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
