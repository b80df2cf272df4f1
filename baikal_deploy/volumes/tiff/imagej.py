"""Hyperstacks of ImageJ: what an image must be to become one, and the notes that ImageJ shows it by.

As ImageJ 1.x reads them: ij.io.TiffDecoder and ij.io.FileOpener.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.volumes.base import VolumeInfo

TYPES = ("uint8", "uint16", "float32")
LARGEST = 2**32 - 2**26
"""Bytes of the pixels above which a file needs places that ImageJ does not read."""
UNITS = {
    "angstrom": "A", "picometer": "pm", "nanometer": "nm", "micrometer": "micron", "millimeter": "mm",
    "centimeter": "cm", "meter": "m", "inch": "inch", None: "pixel",
}  # fmt: skip
"""Names that ImageJ has for units."""
SECONDS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
}
AXES = "tzcyx"
"""Order in which ImageJ has the axes."""
_OME_NAME = re.compile(r".*\.ome\.(tiff?|tf[28]|btf)", re.IGNORECASE)


def is_for_imagej(path: Path, info: VolumeInfo) -> bool:
    """True if an image becomes a hyperstack: it was one, its name does not say OME, and ImageJ can hold it.

    Args:
        path: the output.
        info: the image.
    """
    if info.hyperstack is None or _OME_NAME.fullmatch(path.name) or info.dtype.name not in TYPES:
        return False
    if prod(info.shape) * info.dtype.itemsize > LARGEST:
        return False
    units = {axis.unit for axis in info.axes if axis.name in "zyx"}
    times = [axis.unit in (None, *SECONDS) for axis in info.axes if axis.name == "t"]
    begins = {axis.name: at for axis, at in zip(info.axes, info.translation, strict=True)}
    return units <= set(UNITS) and all(times) and not begins.get("t") and not begins.get("c")


def imagej_shape(info: VolumeInfo) -> tuple[int, ...]:
    """Sizes along t, z, c, y and x.

    Args:
        info: the image.
    """
    sizes = {axis.name: size for axis, size in zip(info.axes, info.shape, strict=True)}
    return tuple(sizes.get(axis, 1) for axis in AXES)


def imagej_options(info: VolumeInfo, provenance: str) -> dict[str, Any]:
    """Arguments with which tifffile writes a hyperstack.

    Args:
        info: the image.
        provenance: as JSON, on one line.
    """
    scales = {axis.name: scale for axis, scale in zip(info.axes, info.scale, strict=True)}
    metadata: dict[str, Any] = {"axes": AXES.upper(), **_notes(info, scales), **_display(info)}
    return {
        "imagej": True,
        "photometric": "minisblack",
        "resolution": (1 / scales["x"], 1 / scales["y"]),
        "metadata": metadata | {"baikal": provenance},
    }


def _notes(info: VolumeInfo, scales: dict[str, float]) -> dict[str, Any]:
    """Pixel sizes, units, and where the image begins."""
    units = {axis.name: UNITS[axis.unit] for axis in info.axes if axis.name in "zyx"}
    notes: dict[str, Any] = {"unit": units["x"]}
    notes |= {f"{axis}unit": unit for axis, unit in units.items() if axis != "x" and unit != units["x"]}
    if "z" in scales:
        notes["spacing"] = scales["z"]
    time = next((axis for axis in info.axes if axis.name == "t"), None)
    if time is not None and time.unit is not None:
        notes["finterval"] = scales["t"] * SECONDS[time.unit]
    for axis, start in zip(info.axes, info.translation, strict=True):
        if start:
            notes[f"{axis.name}origin"] = -start / scales[axis.name]  # in pixels, as ImageJ has it
    return notes


def _display(info: VolumeInfo) -> dict[str, Any]:
    """Mode, palettes and ranges of display, and names of channels, as far as they are known."""
    assert info.hyperstack is not None
    found: dict[str, Any] = {}
    channels = range(info.num_channels)
    if len(channels) > 1:
        found["mode"] = info.hyperstack.mode or "composite"
    if info.hyperstack.palettes:
        found["LUTs"] = [_palette(palette) for palette in info.hyperstack.palettes]
    ranges = [_range(info, channel) for channel in channels]
    if known := [one for one in ranges if one is not None]:
        found["min"], found["max"] = known[0]
    if len(known) == len(ranges):
        found["Ranges"] = tuple(value for one in known for value in one)
    names = [info.channel_name(channel) for channel in channels]
    if any(name != f"channel {channel}" for channel, name in enumerate(names)):
        shape = imagej_shape(info)
        found["Labels"] = names * (shape[0] * shape[1])
    return found


def _palette(palette: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(palette, np.uint8).reshape(3, 256)


def _range(info: VolumeInfo, channel: int) -> tuple[float, float] | None:
    """Intensities that are shown black and white; None where they are not known."""
    try:
        window = (info.omero or {})["channels"][channel]["window"]
        return float(window["start"]), float(window["end"])
    except (LookupError, TypeError, ValueError):  # it may have any form
        return None
