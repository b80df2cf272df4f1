"""The part of a layer that is seen: a plane, and a crop of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Region
from baikal_deploy.volumes.base import AXIS_NAMES, VolumeInfo

SIDE = 512
"""Longest side of what is previewed, in pixels: more takes too long to be a preview."""


@dataclass(frozen=True)
class Seen:
    """A crop of a plane.

    Attributes:
        plane: its number in the volume.
        channel: of the plane.
        region: rows and columns.
        start: index of the crop's first pixel along each axis of the layer.
    """

    plane: int
    channel: int
    region: Region
    start: tuple[int, ...]


def what_is_seen(viewer: ViewerModel, layer: Image, axes: str, info: VolumeInfo) -> Seen:
    """The plane that is shown, and as much of what is visible of it as is previewed, around its middle.

    Args:
        viewer: that shows the layer.
        layer: one of its own.
        axes: names of the layer's axes, in order.
        info: of the layer's volume.

    Raises:
        ConfigError: no plane of y and x is shown, or nothing of it.
    """
    y, x = axes.index("y"), axes.index("x")
    shown = [axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.displayed]
    if viewer.dims.ndisplay != 2 or set(shown) != {y, x}:
        raise ConfigError("the preview is of one plane: show the axes y and x in 2D")
    index = [round(float(at)) for at in layer.world_to_data(viewer.dims.point)]
    corners = _corners(layer)
    for axis in (y, x):
        index[axis] = 0
    sizes = _sizes(layer)
    if any(not 0 <= at < size for at, size in zip(index, sizes, strict=True)):
        raise ConfigError(f"{layer.name}: nothing of it is shown here; move the sliders to where it is")
    rows, columns = (_span(int(corners[0][axis]), int(corners[1][axis]), sizes[axis]) for axis in (y, x))
    order = [axes.index(name) for name in AXIS_NAMES if name in axes]
    position = tuple(index[axis] for axis in order[:-2])
    plane = int(np.ravel_multi_index(position, info.shape[:-2])) if position else 0
    index[y], index[x] = rows.start, columns.start
    return Seen(plane, info.channel(plane), (rows, columns), tuple(index))


def _sizes(layer: Image) -> tuple[int, ...]:
    return tuple((layer.data[0] if layer.multiscale else layer.data).shape)


def _corners(layer: Image) -> np.ndarray:
    """First and last visible pixel along each axis, in those of the finest level."""
    corners = np.asarray(layer.corner_pixels, dtype=float)
    if not layer.multiscale:
        return corners
    found: np.ndarray = corners * layer.downsample_factors[layer.data_level]
    return found


def _span(first: int, last: int, size: int) -> slice:
    """The middle of a visible span; of the whole axis where nothing is drawn yet."""
    first, stop = max(first, 0), min(last + 1, size)
    if stop - first < 2:
        first, stop = 0, size
    start = first + max(0, stop - first - SIDE) // 2
    return slice(start, min(stop, start + SIDE))
