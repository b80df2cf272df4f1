"""Reads volumes in TIFF: OME-TIFF, ImageJ hyperstacks, MetaMorph stacks and plain TIFF, plane by plane."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.axes import plain_axes
from baikal_deploy.volumes.base import AXIS_NAMES
from baikal_deploy.volumes.calibration import (
    Calibration,
    hyperstack_of,
    imagej_calibration,
    metamorph_calibration,
    ome_calibrations,
    ome_master,
    resolution_calibration,
)
from baikal_deploy.volumes.paths import translated
from baikal_deploy.volumes.series import SeriesVolume, choose, describe_file
from baikal_deploy.volumes.tiff.file import (
    UNNAMED,
    decoded_together,
    open_pixels,
    opened,
    require_codec,
    series_files,
    series_names,
)

KINDS = ("ome", "imagej", "stk", "shaped", "uniform", "generic")
"""Flavours, as tifffile calls them, whose notes are understood here."""


def open_tiff(path: Path, series: int | None = None) -> SeriesVolume:
    """Open one series of a TIFF file.

    Axes of size 1 are dropped, unless the file gives their pixel size. Pages on axes without a name
    count as ``plain_axes`` has it: z, then c and z, then t, c and z.

    Args:
        path: the file.
        series: number of the series; None: the only one.

    Returns:
        The series as a volume, whose pixels are read when they are asked for.

    Raises:
        VolumeError: a file that is damaged, truncated or not supported; several series and no choice.
    """
    with translated(path, "looked at"), opened(path, KINDS) as file:
        _require_described(path, file)
        number = choose(path, series_names(file), series)
        return _open_series(path, file, number)


def _require_described(path: Path, file: Any) -> None:
    """Refuse a file that does not say itself what its images are."""
    master = ome_master(file.ome_metadata) if file.ome_metadata else None
    if master is not None:
        raise VolumeError(
            f"{path}: is a part of an image that is described in {master}; give that file if it is a TIFF, "
            f"else convert the image to one OME-TIFF (bfconvert)"
        )


def _open_series(path: Path, file: Any, number: int) -> SeriesVolume:
    series = file.series[number]
    require_codec(path, series)
    axes = _axes(path, series)
    sizes = dict(zip(axes, series.shape, strict=True))
    calibration = _calibration(path, file, number, sizes)
    pixels = open_pixels(path, number)
    info = describe_file(path, sizes, series.dtype, calibration, decoded_together(pixels))
    if series.kind == "imagej":
        info = replace(info, hyperstack=hyperstack_of(file.imagej_metadata or {}, info.num_channels))
    return SeriesVolume(info, pixels, axes, series_files(series))


def _axes(path: Path, series: Any) -> str:
    """Our names of the axes in the file's order."""
    axes = str(series.axes.lower())
    if "s" in axes:
        raise VolumeError(f"{path}: is a colour image (axes {series.axes}); convert it to grey, or split it")
    leading = axes[:-2]
    if leading and set(leading) <= set(UNNAMED):
        return "".join(axis.name for axis in plain_axes(path, None, len(axes)))
    for axis, name, size in zip(axes, series.dims, series.shape, strict=True):
        if axis not in AXIS_NAMES and size > 1:
            raise VolumeError(
                f"{path}: axis {axis.upper()} ({name}) of size {size} is not supported, only t, c, z, y, x; "
                f"split the image along it"
            )
    if axes[-2:] != "yx" or len(set(axes)) < len(axes):
        raise VolumeError(f"{path}: axes {series.axes} are not supported; save it with Y, X at the end")
    return axes


def _calibration(path: Path, file: Any, number: int, sizes: dict[str, int]) -> Calibration:
    series = file.series[number]
    if series.kind == "ome":
        images = ome_calibrations(file.ome_metadata)
        if len(images) != len(file.series):
            raise VolumeError(
                f"{path}: its OME-XML describes {len(images)} images, but {len(file.series)} are there, and "
                f"which is unknown; copy all files of the image, or export it again"
            )
        return images[number]
    channels, planes = sizes.get("c", 1), int(np.prod([*sizes.values()][:-2], dtype=int))
    if series.kind == "imagej":
        return imagej_calibration(file.imagej_metadata or {}, _resolution(series), channels, planes)
    if series.kind == "stk":
        return metamorph_calibration(file.stk_metadata or {}, (series.name,) if channels == 1 else ())
    return resolution_calibration(_resolution(series), int(series.keyframe.resolutionunit))


def _resolution(series: Any) -> dict[str, float]:
    """Pixels per unit where the tags are there."""
    page = series.keyframe
    names = {"x": "XResolution", "y": "YResolution"}
    tags = {axis: page.tags[name].value for axis, name in names.items() if name in page.tags}
    return {axis: value[0] / value[1] for axis, value in tags.items() if value[0] and value[1]}
