"""Notes that TIFF files hold beside the pixels: OME-XML, ImageJ's and MetaMorph's, the resolution."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np

from baikal_deploy.volumes.axes import normalise_unit
from baikal_deploy.volumes.base import Hyperstack

RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}
NO_UNIT = ("pixel", "pixels", "reference frame")
"""Units that OME-XML and ImageJ write where the pixel size is not known."""
SCREEN_DPI = 72
"""Pixels per inch that are written by programs that know of no pixel size."""


@dataclass(frozen=True)
class Calibration:
    """Pixel sizes, units, name and channels of an image, as far as they are known.

    Attributes:
        scale: pixel size of the axes where it is known.
        units: NGFF names of the units of these, where they are known.
        name: of the image.
        omero: NGFF's block of channel names, colours and display ranges.
        remarks: what a user should know of how the file was read, in sentences.
    """

    scale: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str | None] = field(default_factory=dict)
    name: str | None = None
    omero: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, sizes: Mapping[str, tuple[object, object]], name: str | None = None, channels: Any = ()
    ) -> Calibration:
        """Calibration from sizes and units as files have them.

        Args:
            sizes: (pixel size, unit) by axis; a size that is not a positive number is unknown.
            name: of the image; None or empty: unknown.
            channels: NGFF's entries of the channels, in order; an empty one where nothing is known.
        """
        scale = {axis: number for axis, (size, _) in sizes.items() if (number := _positive(size)) is not None}
        units = {axis: _unit(sizes[axis][1]) for axis in scale}
        described = [dict(channel) for channel in channels]
        omero = {"channels": described} if any(described) else None
        return cls(scale, units, name or None, omero)


def _unit(unit: object) -> str | None:
    return None if unit in NO_UNIT else normalise_unit(unit)


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def ome_calibrations(xml: str) -> list[Calibration]:
    """Calibrations of the images of an OME-XML, in its order.

    Args:
        xml: the text.
    """
    return [_ome_image(image) for image in ElementTree.fromstring(xml).findall("{*}Image")]


def ome_master(xml: str) -> str | None:
    """Name of the file that describes all images, if this one's OME-XML only points to it."""
    pointer = ElementTree.fromstring(xml).find("{*}BinaryOnly")
    return None if pointer is None else pointer.get("MetadataFile", "another file")


def ome_files(xml: str) -> list[object]:
    """Names of the other files that hold the images of an OME-XML, as it has them."""
    root = ElementTree.fromstring(xml)
    # By the ends of tags, as tifffile does.
    named = (
        one.get("FileName")
        for one in root.iter()
        if one.tag.endswith("UUID") and one.text != root.get("UUID")
    )
    return list(dict.fromkeys(named))


def _ome_image(image: ElementTree.Element) -> Calibration:
    pixels = image.find("{*}Pixels")
    if pixels is None:
        return Calibration(name=image.get("Name"))
    sizes: dict[str, tuple[object, object]] = {
        axis.lower(): (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XYZ"
    }
    sizes["t"] = pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
    channels = [_ome_channel(channel) for channel in pixels.findall("{*}Channel")]
    return Calibration.of(sizes, image.get("Name"), channels)


def _ome_channel(channel: ElementTree.Element) -> dict[str, Any]:
    name, color = channel.get("Name"), channel.get("Color")
    described = {"label": name} if name else {}
    if color is not None and re.fullmatch(r"-?\d+", color):
        described["color"] = f"{(int(color) >> 8) & 0xFFFFFF:06X}"  # 32 signed bits: RGBA
    return described


def resolution_calibration(resolution: Mapping[str, float], unit: int) -> Calibration:
    """Calibration from the resolution tags of the TIFF standard.

    Args:
        resolution: pixels per unit, by axis.
        unit: 1 (none), 2 (inch) or 3 (centimetre).

    Returns:
        One that is empty where the tags tell no pixel size.
    """
    if unit == 2 and set(resolution.values()) == {SCREEN_DPI}:
        return Calibration()
    name = RESOLUTION_UNITS.get(unit)
    if name is None and len(set(resolution.values())) == 1:  # without a unit only their ratio means anything
        return Calibration()
    return Calibration.of({axis: (_inverse(value), name) for axis, value in resolution.items()})


def imagej_calibration(
    notes: Mapping[str, Any], resolution: Mapping[str, float], channels: int, planes: int
) -> Calibration:
    """Calibration from ImageJ's notes.

    Args:
        notes: as tifffile gives them.
        resolution: pixels per ``notes["unit"]``, by axis.
        channels, planes: how many the image has.
    """
    unit = _unescaped(notes.get("unit"))
    known = _unit(unit) is not None or len({*resolution.values(), 1.0}) > 1
    sizes: dict[str, tuple[object, object]] = {
        axis: (_inverse(value), _unescaped(notes.get(f"{axis}unit", unit)))
        for axis, value in resolution.items()
        if known
    }
    sizes["z"] = _distance(notes.get("spacing")), _unescaped(notes.get("zunit", unit))
    sizes["t"] = notes.get("finterval"), _unescaped(notes.get("tunit", "s"))
    labels = notes.get("Labels") if channels == planes else None  # else they are those of planes
    labels = [labels] if isinstance(labels, str) else labels
    described = [
        _imagej_channel(number, labels, notes.get("LUTs"), notes.get("Ranges")) for number in range(channels)
    ]
    return Calibration.of(sizes, channels=described)


def hyperstack_of(notes: Mapping[str, Any], channels: int) -> Hyperstack:
    """How ImageJ shows an image of its own.

    Args:
        notes: as tifffile gives them.
        channels: how many the image has.
    """
    tables = [np.asarray(table) for table in notes.get("LUTs") or ()]
    whole = len(tables) == channels and all(table.shape == (3, 256) for table in tables)
    palettes = tuple(table.astype(np.uint8).tobytes() for table in tables) if whole else ()
    mode = notes.get("mode")
    return Hyperstack(mode if mode in ("composite", "color", "grayscale") else None, palettes)


def _imagej_channel(number: int, labels: Any, tables: Any, ranges: Any) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if labels is not None and number < len(labels) and labels[number]:
        described["label"] = str(labels[number])
    if tables is not None and number < len(tables):
        described["color"] = "".join(f"{int(value):02X}" for value in tables[number][:, -1])
    if ranges is not None and 2 * number + 1 < len(ranges):
        described["window"] = {"start": float(ranges[2 * number]), "end": float(ranges[2 * number + 1])}
    return described


def metamorph_calibration(notes: Mapping[str, Any], channels: Sequence[str]) -> Calibration:
    """Calibration from the notes of a MetaMorph stack.

    Args:
        notes: as tifffile gives them.
        channels: names of the channels; empty ones are unknown.
    """
    unit = notes.get("CalibrationUnits")
    sizes: dict[str, tuple[object, object]] = {}
    if notes.get("SpatialCalibration"):
        sizes = {axis: (notes.get(f"{axis.upper()}Calibration"), unit) for axis in "xy"}
    distances = [float(value) for value in notes.get("ZDistance", ())]
    sizes["z"] = (distances[0] if distances else None), unit
    return Calibration.of(sizes, channels=[{"label": name} for name in channels if name])


def _distance(spacing: object) -> object:
    """Distance of planes; ImageJ writes a negative spacing where a stack was taken downwards."""
    return abs(spacing) if isinstance(spacing, int | float) else spacing


def _inverse(value: float) -> float | None:
    return 1 / value if value else None


def _unescaped(unit: object) -> object:
    """Unit without ImageJ's escapes: it writes "µm" as "\\u00B5m"."""
    if not isinstance(unit, str):
        return unit
    return re.sub(r"\\u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), unit)
