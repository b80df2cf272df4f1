"""OME-XML of a volume, and what it cannot express."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Axis, VolumeInfo

OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
WHITE = -1
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
OME_UNITS = {
    "angstrom": "Å", "picometer": "pm", "nanometer": "nm", "micrometer": "µm", "millimeter": "mm",
    "centimeter": "cm", "meter": "m", "inch": "in",
    "nanosecond": "ns", "microsecond": "µs", "millisecond": "ms", "second": "s", "minute": "min", "hour": "h",
}  # fmt: skip
"""Names in OME-XML of NGFF's units."""


def check_expressible(path: Path, info: VolumeInfo) -> None:
    """Refuse an image that OME-TIFF cannot hold.

    Args:
        path: the output, for messages.
        info: the image.

    Raises:
        VolumeError: its pixel type, a unit or a name; an offset of the channels.
    """
    if info.dtype.name not in OME_TYPES:
        raise VolumeError(
            f"{path}: OME-TIFF has no pixels of type {info.dtype}; choose an output in .ome.zarr"
        )
    ome_metadata(path, info)
    names = [info.name or "", *(info.channel_name(channel) for channel in range(info.num_channels))]
    for name in filter(NOT_IN_XML.search, names):
        raise VolumeError(
            f"{path}: OME-TIFF cannot hold the name {name!r}, as XML forbids some of its characters; correct "
            "it, or choose an output in .ome.zarr"
        )


def ome_metadata(path: Path, info: VolumeInfo) -> dict[str, Any]:
    """Metadata from which tifffile writes OME-XML for a volume.

    Args:
        path: the output, for messages.
        info: the image.

    Raises:
        VolumeError: what OME-XML cannot express.
    """
    metadata: dict[str, Any] = {"axes": "".join(axis.name for axis in info.axes).upper()}
    for axis, scale in zip(info.axes, info.scale, strict=True):
        if axis.name != "c" and (axis.unit is not None or scale != 1):
            key = "TimeIncrement" if axis.name == "t" else f"PhysicalSize{axis.name.upper()}"
            metadata |= {key: scale, f"{key}Unit": _ome_unit(path, axis)}
    if planes := _positions(path, info):
        metadata["Plane"] = planes
    if info.name is not None:
        metadata["Name"] = info.name
    channels = [_described(info, channel) for channel in range(info.num_channels)]
    for key, unknown in (("Name", ""), ("Color", WHITE)):
        if any(key in channel for channel in channels):
            metadata.setdefault("Channel", {})[key] = [channel.get(key, unknown) for channel in channels]
    return metadata


def _positions(path: Path, info: VolumeInfo) -> dict[str, Any]:
    """Position of each plane in space and time, where the image does not begin at 0.

    In x and y it is that of the centre of pixel 0, as everywhere here.
    """
    begins = {axis.name: at for axis, at in zip(info.axes, info.translation, strict=True)}
    if not any(begins.values()):
        return {}
    if begins.get("c"):
        raise VolumeError(
            f"{path}: OME-TIFF has no place for a translation of the channels, {begins['c']:g}; choose an "
            f"output in .ome.zarr"
        )
    steps = dict(zip((axis.name for axis in info.axes), info.scale, strict=True))
    at = [dict(zip(begins, info.position(plane), strict=False)) for plane in range(info.num_planes)]
    found: dict[str, Any] = {}
    for axis in info.axes:
        if axis.name != "c":
            key = "DeltaT" if axis.name == "t" else f"Position{axis.name.upper()}"
            start, step = begins[axis.name], steps[axis.name]
            found[key] = [start + one.get(axis.name, 0) * step for one in at]
            found[f"{key}Unit"] = [_ome_unit(path, axis)] * len(at)
    return found


def uuid_of(text: str) -> str:
    """UUID of a file with such a description: the same for files that are the same.

    Args:
        text: that tells it from others.
    """
    return str(uuid5(NAMESPACE_OID, text))


def _ome_unit(path: Path, axis: Axis) -> str:
    if axis.unit is None and axis.name != "t":
        return "reference frame"
    if axis.unit not in OME_UNITS:
        raise VolumeError(
            f"{path}: OME-TIFF has no name for the unit '{axis.unit}' of axis {axis.name}; "
            f"choose an output in .ome.zarr"
        )
    return OME_UNITS[axis.unit]


def _described(info: VolumeInfo, channel: int) -> dict[str, Any]:
    """Name and colour of a channel where they are known."""
    name = info.channel_name(channel)
    described: dict[str, Any] = {} if name == f"channel {channel}" else {"Name": name}
    try:
        color = (info.omero or {})["channels"][channel]["color"].lstrip("#")
    except (
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ):  # it may have any form
        return described
    if re.fullmatch(r"[0-9A-Fa-f]{6}", color):
        value = (int(color, 16) << 8) | 0xFF
        described["Color"] = value - 2**32 if value >= 2**31 else value
    return described
