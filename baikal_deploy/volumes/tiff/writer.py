"""Writes volumes as OME-TIFF: one file, uncompressed, plane by plane.

The file is laid out first, with room for every plane, and lies beside its place until it is complete. Its
description holds what a Zarr store has as an attribute: how it was made, and whether it is complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from math import prod
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

import numpy as np
import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import sync_file
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Axis, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import check_item
from baikal_deploy.volumes.layout import Layout, Reduction, default_layout, plan_items
from baikal_deploy.volumes.paths import check_file, partial_path, unfinished_by, writing

OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
DESCRIPTION = re.compile("<Description>(.*?)</Description>", re.DOTALL)
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
    items: Sequence[WorkItem]
    location: Path
    offset: int

    @classmethod
    def create(
        cls,
        path: Path,
        info: VolumeInfo,
        *,
        overwrite: bool = False,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> TiffOutput:
        """Writes the metadata, and leaves room for the planes.

        Args: see ``OutputVolume.create``; an existing file stays whole until ``finish``.

        Raises:
            VolumeError: the path is taken, or cannot be written; what OME-TIFF cannot express.
        """
        check_expressible(path, info)
        check_file(path.resolve(), overwrite)
        location = partial_path(path.resolve())
        metadata = {**_ome_metadata(path, info), "Description": json.dumps(unfinished_by(run))}
        begun = location.with_name(f"{location.name}.{run or uuid4().hex}")  # half of it is no image
        with writing(path, "the metadata"):
            tifffile.imwrite(
                begun,
                shape=info.shape,
                dtype=info.dtype,
                ome=True,
                photometric="minisblack",
                metadata=metadata,
            )
            sync_file(begun, begun.parent)
            begun.replace(location)
        return cls.resume(path, info, location, layout=layout)

    @classmethod
    def resume(
        cls, path: Path, info: VolumeInfo, location: Path, *, layout: Layout | None = None
    ) -> TiffOutput:
        """Goes on with a file that ``create`` began with the same arguments.

        Args:
            location: where it is: where ``create`` put it, or at ``path`` if it has moved there since.

        Raises:
            VolumeError: it is not there, or is another image.
        """
        try:
            with tifffile.TiffFile(location) as file:
                series, plane = file.series[0], file.pages.first
                found = (series.size, plane.shape, series.dtype)
                if series.dataoffset is None or found != (prod(info.shape), info.plane_shape, info.dtype):
                    raise ValueError("its pixels have another shape or type")
                offset = series.dataoffset
        except Exception as error:  # of a damaged file, anything
            raise VolumeError(
                f"{path}: the unfinished output cannot be continued ({type(error).__name__}: {error}); "
                f"remove it, and run again"
            ) from error
        return cls(path, info, plan_items(info, layout or default_layout(info)), location, offset)

    def write(self, item: WorkItem, planes: Raw) -> None:
        """See ``OutputVolume.write``."""
        check_item(self.path, self.info, self.items, item, planes)
        with writing(self.path, self.info.describe_range(item.planes)), self.location.open("r+b") as file:
            for at, pixels in self._runs(item, planes):
                file.seek(self.offset + at * self.info.dtype.itemsize)
                file.write(np.ascontiguousarray(pixels).data)

    def _runs(self, item: WorkItem, planes: Raw) -> Iterator[tuple[int, Raw]]:
        """What lies together in the file, and the number of its first pixel."""
        height, width = self.info.plane_shape
        if item.region is None:
            numbered = zip(item.planes, planes, strict=True)
            whole = item.planes.step == 1
            yield from (
                [(item.planes.start * height * width, planes)]
                if whole
                else ((plane * height * width, pixels) for plane, pixels in numbered)
            )
            return
        y, x = item.region
        for plane, pixels in zip(item.planes, planes, strict=True):
            for row, run in enumerate(pixels, start=plane * height + y.start):
                yield row * width + x.start, run

    def sync(self, piece: WorkItem | Reduction) -> None:
        """See ``OutputVolume.sync``."""
        with writing(self.path, self.info.describe_range(piece.planes)):
            sync_file(self.location, self.location.parent)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Records how the image was made, and puts the file in its place.

        Raises:
            VolumeError: a full disk and the like.
        """
        written = f"<Description>{escape(json.dumps({**provenance, 'complete': True}))}</Description>"
        with writing(self.path, "the provenance"):
            xml = str(tifffile.tiffcomment(self.location))
            described = DESCRIPTION.sub(lambda _: written, xml, count=1)
            if described != xml:
                tifffile.tiffcomment(self.location, described.encode())
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


def provenance_of(path: Path) -> dict[str, Any] | None:
    """What a file of this package says of how it was made; None for anything else."""
    try:
        found = DESCRIPTION.search(str(tifffile.tiffcomment(path))) if path.is_file() else None
        provenance = json.loads(unescape(found[1])) if found else None
    except Exception:  # of a damaged file, anything
        return None
    return provenance if isinstance(provenance, dict) and "complete" in provenance else None


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
