"""TIFF, OME-TIFF and ImageJ stacks, through the runtime's reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.calibration import ome_calibrations
from baikal_deploy.volumes.tiff.file import open_pixels, opened, require_codec
from baikal_training.data.readers.base import OnDisk, Pixels
from baikal_training.data.readers.image import Image


def tiff_images(path: Path) -> list[Image]:
    """One image per series. Raises VolumeError for colours, and for a file that is not whole."""
    with opened(path) as file:
        series = list(file.series)
        names = _channel_names(file.ome_metadata, len(series))
        return [_image(path, i, one, names.get(i, ()), len(series)) for i, one in enumerate(series)]


def _image(path: Path, index: int, series: Any, channels: tuple[str, ...], count: int) -> Image:
    name = f"{path}, series {index}" if count > 1 else str(path)
    if "S" in series.axes:
        raise VolumeError(f"{name}: is a colour image (axes {series.axes}); convert it to grey")
    require_codec(path, series)
    pixels = OnDisk(TiffSeries(path, index))
    return Image(name, pixels, tuple(series.shape), series.dtype, series.axes.lower(), channels)


def _channel_names(xml: str | None, count: int) -> dict[int, tuple[str, ...]]:
    """Channel names of an OME-TIFF, by image."""
    described = ome_calibrations(xml) if xml else []
    if len(described) != count:  # which is which is unknown
        return {}
    blocks = [image.omero or {"channels": ()} for image in described]
    return {
        index: tuple(channel.get("label", "") for channel in block["channels"])
        for index, block in enumerate(blocks)
    }


@dataclass(frozen=True)
class TiffSeries:
    """A source that opens one series of a TIFF file."""

    path: Path
    index: int

    def open(self) -> Pixels:
        return open_pixels(self.path, self.index)
