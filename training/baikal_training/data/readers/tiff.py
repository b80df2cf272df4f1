"""TIFF, OME-TIFF and ImageJ stacks, through tifffile."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile
import zarr

from baikal_deploy.errors import VolumeError
from baikal_training.data.readers.base import OnDisk, Pixels
from baikal_training.data.readers.image import Image

WHOLE_PAGE = 2**24
"""Pixels of a page in strips up to which it is decoded whole: strips can be one row each."""


def tiff_images(path: Path) -> list[Image]:
    """One image per series. Raises VolumeError for colours, and for a file that is not whole."""
    with _complaints(path), tifffile.TiffFile(path) as file:
        names = _channel_names(file)
        series = list(file.series)
        for one in series:
            _require_whole(path, one)
        return [_image(path, i, one, names.get(i, ()), len(series)) for i, one in enumerate(series)]


def _image(path: Path, index: int, series: Any, channels: tuple[str, ...], count: int) -> Image:
    name = f"{path}, series {index}" if count > 1 else str(path)
    if "S" in series.axes:
        raise VolumeError(f"{name}: is a colour image (axes {series.axes}); convert it to grey")
    pixels = OnDisk(TiffSeries(path, index))
    return Image(name, pixels, tuple(series.shape), series.dtype, series.axes.lower(), channels)


@contextmanager
def _complaints(path: Path) -> Iterator[None]:
    """Turns tifffile's log messages into an error: of a truncated file it returns what is left, or
    zeros, and only logs a warning."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    if messages:
        raise VolumeError(f"{path}: is truncated or damaged ({messages[0]}); copy or export it again")


def _require_whole(path: Path, series: Any) -> None:
    """Every page is there and lies within its file."""
    for number, page in enumerate(series.pages):
        if page is None or not page.dataoffsets or 0 in page.databytecounts:
            raise VolumeError(f"{path}: page {number} is missing; copy or export the file again")
        ends = (at + size for at, size in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends) > page.parent.filehandle.size:
            raise VolumeError(f"{path}: ends before page {number} does; copy or export the file again")


def _channel_names(file: tifffile.TiffFile) -> dict[int, tuple[str, ...]]:
    """Channel names of an OME-TIFF, by image."""
    if file.ome_metadata is None:
        return {}
    described = _listed(tifffile.xml2dict(file.ome_metadata)["OME"].get("Image"))
    if len(described) != len(file.series):  # which is which is unknown
        return {}
    pixels = [image.get("Pixels", {}) for image in described]
    return {
        index: tuple(str(channel.get("Name", "")) for channel in _listed(one.get("Channel")))
        for index, one in enumerate(pixels)
    }


def _listed(element: Any) -> list[Any]:
    """xml2dict gives a single element as itself, and several as a list."""
    return element if isinstance(element, list) else [] if element is None else [element]


@dataclass(frozen=True)
class TiffSeries:
    """Opens one series of a TIFF file."""

    path: Path
    index: int

    def open(self) -> Pixels:
        file = tifffile.TiffFile(self.path)
        series = file.series[self.index]
        if series.dataoffset is not None and not series.is_multifile:
            file.close()
            mapped: Pixels = tifffile.memmap(self.path, series=self.index, mode="r")
            return mapped
        page = series.keyframe
        whole = not page.is_tiled and page.size <= WHOLE_PAGE
        array: Any = zarr.open(series.aszarr(level=0, chunkmode=2 if whole else 0), mode="r")
        weakref.finalize(array, file.close)
        return array
