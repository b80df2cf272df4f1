"""Writes volumes as OME-TIFF: one file, uncompressed, plane by plane.

The file is laid out first, with room for every plane, and lies beside its place until it is complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import tifffile

from baikal_deploy.durable import sync_file
from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import Axis, Pixels, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import check_item
from baikal_deploy.volumes.layout import Layout, default_layout, plan_items
from baikal_deploy.volumes.stores import claim_file, writing

OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
PLACE_OF_PROVENANCE = "@provenance@"
WHITE = -1
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
OME_UNITS = {
    "angstrom": "Å", "picometer": "pm", "nanometer": "nm", "micrometer": "µm", "millimeter": "mm",
    "centimeter": "cm", "meter": "m", "inch": "in",
    "nanosecond": "ns", "microsecond": "µs", "millisecond": "ms", "second": "s", "minute": "min", "hour": "h",
}  # fmt: skip
"""OME-XML's names of NGFF's units."""


@dataclass(frozen=True)
class TiffOutput:
    """An OME-TIFF that is being written; made by ``create``. Items may be written in any order.

    Attributes:
        path: where the file will be.
        info: its axes, shape, pixel type, and so on.
        items: what there is to write.
        location: where the file is until ``finish``.
        offset: of the first pixel in it.
    """

    path: Path
    info: VolumeInfo
    items: tuple[WorkItem, ...]
    location: Path
    offset: int

    @classmethod
    def create(
        cls, path: Path, info: VolumeInfo, *, overwrite: bool = False, layout: Layout | None = None
    ) -> TiffOutput:
        """Writes the metadata, and leaves room for the planes.

        Args: see ``OutputVolume.create``; an existing file stays whole until ``finish``.

        Raises:
            VolumeError: the path is taken, or cannot be written; what OME-TIFF cannot express.
        """
        check_expressible(path, info)
        metadata = {**_ome_metadata(path, info), "Description": PLACE_OF_PROVENANCE}
        location = claim_file(path.resolve(), overwrite)
        with writing(path, "the metadata"):
            offset, _ = tifffile.imwrite(
                location,
                shape=info.shape,
                dtype=info.dtype,
                ome=True,
                photometric="minisblack",
                metadata=metadata,
                returnoffset=True,
            )  # type: ignore[misc]
        items = plan_items(info, layout or default_layout(info))
        return cls(path, info, tuple(items), location, offset)

    def write(self, item: WorkItem, planes: Pixels) -> None:
        """See ``OutputVolume.write``."""
        check_item(self.path, self.info, self.items, item, planes)
        with writing(self.path, self.info.describe_range(item.planes)), self.location.open("r+b") as file:
            for at, pixels in self._runs(item, planes):
                file.seek(self.offset + at * self.info.dtype.itemsize)
                file.write(np.ascontiguousarray(pixels).data)

    def _runs(self, item: WorkItem, planes: Pixels) -> Iterator[tuple[int, Pixels]]:
        """What lies together in the file, and the number of its first pixel."""
        height, width = self.info.plane_shape
        if item.region is None:
            yield item.planes.start * height * width, planes
            return
        y, x = item.region
        for plane, pixels in zip(item.planes, planes, strict=True):
            for row, run in enumerate(pixels, start=plane * height + y.start):
                yield row * width + x.start, run

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Records how the image was made, and puts the file in its place.

        Raises:
            VolumeError: a full disk and the like.
        """
        with writing(self.path, "the provenance"):
            xml = str(tifffile.tiffcomment(self.location))
            written = escape(json.dumps({**provenance, "complete": True}))
            tifffile.tiffcomment(self.location, xml.replace(PLACE_OF_PROVENANCE, written).encode())
            sync_file(self.location, self.location.parent)
            self.location.replace(self.path.resolve())


def check_expressible(path: Path, info: VolumeInfo) -> None:
    """Refuses an image that OME-TIFF cannot hold.

    Args:
        path: the output, for messages.

    Raises:
        VolumeError: its pixel type, translation, a unit or a name.
    """
    if info.dtype.name not in OME_TYPES:
        raise VolumeError(
            f"{path}: OME-TIFF has no pixels of type {info.dtype}; choose an output in .ome.zarr"
        )
    _ome_metadata(path, info)
    names = [info.name or "", *(info.channel_name(channel) for channel in range(info.num_channels))]
    for name in filter(NOT_IN_XML.search, names):
        raise VolumeError(
            f"{path}: OME-TIFF cannot hold the name {name!r}, as XML forbids some of its characters; correct "
            "it, or choose an output in .ome.zarr"
        )


def is_complete_tiff(path: Path) -> bool:
    """Whether a file is an OME-TIFF of this package that was finished."""
    try:
        return '"complete": true}</Description>' in str(tifffile.tiffcomment(path))
    except (OSError, ValueError):
        return False


def _ome_metadata(path: Path, info: VolumeInfo) -> dict[str, Any]:
    """What tifffile is told to write OME-XML for a volume.

    Args:
        path: the output, for messages.

    Raises:
        VolumeError: what OME-XML cannot express.
    """
    if any(info.translation):
        raise VolumeError(
            f"{path}: OME-TIFF has no place for the translation {list(info.translation)}, which is where "
            f"{info.path} or the chosen part of it begins; choose an output in .ome.zarr"
        )
    metadata: dict[str, Any] = {"axes": "".join(axis.name for axis in info.axes).upper()}
    for axis, scale in zip(info.axes, info.scale, strict=True):
        if axis.name != "c" and (axis.unit is not None or scale != 1):
            key = "TimeIncrement" if axis.name == "t" else f"PhysicalSize{axis.name.upper()}"
            metadata |= {key: scale, f"{key}Unit": _ome_unit(path, axis)}
    if info.name is not None:
        metadata["Name"] = info.name
    channels = [_described(info, channel) for channel in range(info.num_channels)]
    for key, unknown in (("Name", ""), ("Color", WHITE)):
        if any(key in channel for channel in channels):
            metadata.setdefault("Channel", {})[key] = [channel.get(key, unknown) for channel in channels]
    return metadata


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
