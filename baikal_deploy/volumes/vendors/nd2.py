"""Reads ND2 files (Nikon) through the reader of the bioio project, plane by plane."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.extras import install
from baikal_deploy.volumes.base import AXIS_NAMES
from baikal_deploy.volumes.calibration import Calibration
from baikal_deploy.volumes.series import Index, SeriesVolume, choose, describe_file, opening
from baikal_deploy.volumes.vendors.colors import nd2_colors

KIND = "an ND2 file"
UNIT = "micrometer"
"""Unit of bioio's pixel sizes."""
_NO_NAME = re.compile(r"Channel:\d+(:\d+)?")
"""Names that bioio gives to channels without one."""


@dataclass(frozen=True)
class DaskPixels:
    """Pixels that are read when they are indexed, in the thread that indexes them.

    Attributes:
        array: a dask array of planes.
    """

    array: Any

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        return np.asarray(self.array[index].compute(scheduler="synchronous"))


def open_nd2(path: Path, series: int | None = None) -> SeriesVolume:
    """Open one position of the stage of an ND2 file.

    Args:
        path: the file.
        series: number of the position; None: the only one.

    Returns:
        The position as a volume, whose pixels are read when they are asked for.

    Raises:
        VolumeError: a file that is damaged, truncated or not supported; several positions and no choice; a
            package that is missing.
    """
    reader_type = _reader_type(path)
    with opening(path, KIND):
        with path.open("rb"):  # for a message of the system's own
            pass
        reader = reader_type(path)
        positions = reader.scenes
    number = choose(path, positions, series)
    with opening(path, KIND):
        reader.set_scene(number)
        image = reader.xarray_dask_data
    axes = _axes(path, image)
    array = image.isel({axis: 0 for axis in image.dims if axis.lower() not in axes}).data
    sizes = dict(zip(axes, array.shape, strict=True))
    info = describe_file(path, sizes, array.dtype, _calibration(path, reader, sizes))
    return SeriesVolume(info, DaskPixels(array), axes, frozenset([path.resolve()]))


def _reader_type(path: Path) -> Any:
    try:
        return import_module("bioio_nd2").Reader
    except ImportError as error:
        raise VolumeError(f"{path}: ND2 files need the package bioio-nd2: {install('bioio')}") from error


def _axes(path: Path, image: Any) -> str:
    """Our names of the axes in the file's order."""
    if "S" in image.dims:
        raise VolumeError(f"{path}: is a colour image; convert it to grey, or split it")
    for axis, size in zip(image.dims, image.shape, strict=True):
        if axis.lower() not in AXIS_NAMES and size > 1:
            raise VolumeError(
                f"{path}: axis {axis} of size {size} is not supported, only t, c, z, y, x; split it along it"
            )
    return "".join(axis.lower() for axis in image.dims if axis.lower() in AXIS_NAMES)


def _calibration(path: Path, reader: Any, sizes: dict[str, int]) -> Calibration:
    with opening(path, KIND):
        pixel, interval = _pixel_sizes(reader), reader.time_interval
        names = [str(name) for name in reader.channel_names or ()]
        colors = nd2_colors(path)
    known: dict[str, tuple[object, object]] = {
        axis: (getattr(pixel, axis.upper()), UNIT) for axis in "zyx" if pixel is not None and axis in sizes
    }
    if interval is not None and "t" in sizes:
        known["t"] = interval.total_seconds(), "second"
    channels = [{} if _NO_NAME.fullmatch(name) else {"label": name} for name in names]
    if len(colors) == len(channels):
        channels = [own | ({"color": c} if c else {}) for own, c in zip(channels, colors, strict=True)]
    name = reader.current_scene if len(reader.scenes) > 1 else None
    return Calibration.of(known, name, channels)


def _pixel_sizes(reader: Any) -> Any:
    try:
        return reader.physical_pixel_sizes
    except Exception:  # the reader has an own for a file that does not state them
        return None
