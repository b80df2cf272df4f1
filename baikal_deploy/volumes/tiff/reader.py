"""Reads volumes in TIFF: OME-TIFF, ImageJ hyperstacks, MetaMorph stacks and plain TIFF, plane by plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.axes import asked_axes, plain_axes, require_axes
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
from baikal_deploy.volumes.tiff.colours import COMPRESSED, intensities, is_coloured, is_lossy
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


SAMPLE = "s"
"""Axis of the colours of a pixel, as tifffile calls it; also of a stack of three that was saved as one."""


def open_tiff(path: Path, series: int | None = None, axes: str | None = None) -> SeriesVolume:
    """Open one series of a TIFF file.

    Axes of size 1 are dropped, unless the file gives their pixel size. Pages on axes without a name
    count as ``plain_axes`` has it: z, then c and z, then t, c and z.

    Args:
        path: the file.
        series: number of the series; None: the only one.
        axes: see ``open_input``. Where ImageJ's notes count other pages than are there, it is all pages that
            have them.

    Returns:
        The series as a volume, whose pixels are read when they are asked for.

    Raises:
        VolumeError: a file that is damaged, truncated or not supported; several series and no choice.
    """
    with translated(path, "looked at"), opened(path, KINDS) as file:
        _require_described(path, file)
        number = choose(path, series_names(file), series)
        uncounted = _uncounted_pages(path, file, number)
        if not uncounted:
            return _open_series(path, file, number, axes)
        if axes is None:
            raise VolumeError(
                f"{path}: ImageJ's notes in it count {uncounted}, as in files that were put together or "
                f"added to: give the axes of all pages (such as --axes zyx or tyx), or split the file"
            )
        notes = file.imagej_metadata or {}
    with translated(path, "looked at"), opened(path, KINDS, ignore_imagej=True) as file:
        number = choose(path, series_names(file), series)
        return _open_series(path, file, number, axes, notes)


def _uncounted_pages(path: Path, file: Any, number: int) -> str:
    """Words on the pages of a file that ImageJ's notes leave out; none if they count all."""
    series = file.series[number]
    counted = series.size // series.keyframe.size
    pages = len(file.pages) if series.kind == "imagej" else 0
    return f"{counted} of its {pages} pages" if pages > counted else ""


def _require_described(path: Path, file: Any) -> None:
    """Refuse a file that does not say itself what its images are."""
    master = ome_master(file.ome_metadata) if file.ome_metadata else None
    if master is not None:
        raise VolumeError(
            f"{path}: is a part of an image that is described in {master}; give that file if it is a TIFF, "
            f"else convert the image to one OME-TIFF (bfconvert)"
        )


def _open_series(
    path: Path, file: Any, number: int, asked: str | None, notes: Mapping[str, Any] | None = None
) -> SeriesVolume:
    """Open a series; with ImageJ's notes, one whose pages these do not count."""
    series = file.series[number]
    require_codec(path, series)
    coloured = asked is None and is_coloured(series)
    axes = _axes(path, series, asked, coloured)
    sizes = dict(zip(axes, series.shape, strict=not coloured))
    calibration = (
        _calibration(path, file, number, sizes) if notes is None else _uncounted(series, axes, notes)
    )
    found = open_pixels(path, number, ignore_imagej=notes is not None)
    pixels = intensities(path, series, found) if coloured else found
    decoded = decoded_together(found, coloured)
    info = describe_file(path, sizes, series.dtype, _remarked(calibration, series, coloured), decoded)
    if series.kind == "imagej" and not coloured:
        info = replace(info, hyperstack=hyperstack_of(file.imagej_metadata or {}, info.num_channels))
    return SeriesVolume(info, pixels, axes, series_files(series))


def _remarked(calibration: Calibration, series: Any, coloured: bool) -> Calibration:
    """The same, with a remark where JPEG has changed colours; grey pixels may be a microscope's own."""
    lossy = coloured and is_lossy(series)
    return replace(calibration, remarks=(*calibration.remarks, COMPRESSED)) if lossy else calibration


def _axes(path: Path, series: Any, asked: str | None, coloured: bool) -> str:
    """Our names of the axes in the file's order, without that of the colours where there is one hue."""
    axes = str(series.axes.lower()).removesuffix(SAMPLE if coloured else "")
    leading = axes[:-2]
    if asked is not None and axes.endswith("yx") and set(leading) <= {*UNNAMED, SAMPLE} and leading:
        return asked_axes(path, asked, len(axes))
    if SAMPLE in axes:
        planes = f", or give its axes if these are planes (--axes {'t' * axes.count('i')}zyx)"
        raise VolumeError(
            f"{path}: is a colour image (axes {series.axes}); convert it to grey, or split it"
            f"{planes if axes.endswith('yx') else ''}"
        )
    if leading and set(leading) <= set(UNNAMED):
        return "".join(axis.name for axis in plain_axes(path, None, len(axes)))
    require_axes(path, axes, asked)
    for axis, name, size in zip(axes, series.dims, series.shape, strict=not coloured):
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


def _uncounted(series: Any, axes: str, notes: Mapping[str, Any]) -> Calibration:
    """Calibration by ImageJ's notes on a part of the pages, which holds for all."""
    found = imagej_calibration(notes, _resolution(series), 0, 0)
    scale = {axis: size for axis, size in found.scale.items() if axis in axes}
    return Calibration(scale, {axis: found.units[axis] for axis in scale})


def _resolution(series: Any) -> dict[str, float]:
    """Pixels per unit where the tags are there."""
    page = series.keyframe
    names = {"x": "XResolution", "y": "YResolution"}
    tags = {axis: page.tags[name].value for axis, name in names.items() if name in page.tags}
    return {axis: value[0] / value[1] for axis, value in tags.items() if value[0] and value[1]}
