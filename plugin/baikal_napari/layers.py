"""A layer of napari as a volume: its axes and calibration, and its planes, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Layer

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import AXIS_NAMES, Axis, VolumeInfo
from baikal_deploy.volumes.urls import Source

USUAL = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}
"""Axes of layers that do not name them; readers mostly make a layer of each channel."""
LONG_NAMES = {"time": "t", "channel": "c"}
DIMENSIONS = {"[length]": "zyx", "[time]": "t"}
"""Axes whose scale may have units of this dimension."""


def check_layer(layer: Layer) -> Image:
    """The layer, if it is of a kind that can be denoised.

    Args:
        layer: any.

    Raises:
        ConfigError: it holds no intensities, or too few or too many axes; the message says what to do.
    """
    if not isinstance(layer, Image):
        kind = type(layer).__name__.lower()
        raise ConfigError(f"{layer.name}: is a {kind} layer; choose an image layer")
    if layer.rgb:
        raise ConfigError(
            f"{layer.name}: holds colours (RGB), which are not intensities; split it into its channels "
            "(right-click on the layer, Split RGB) and choose one of them"
        )
    if layer.ndim not in USUAL:
        raise ConfigError(f"{layer.name}: has {layer.ndim} axes; 2 to 5 can be denoised: t, c, z, y, x")
    return layer


def bare(layer: Any) -> Layer:
    """A layer itself: napari hands its objects to plug-ins behind proxies, which come and go.

    Args:
        layer: with or without a proxy.
    """
    found: Layer = getattr(layer, "__wrapped__", layer)
    return found


def guess_axes(layer: Image) -> str:
    """Names of a layer's axes: its own if they make sense, else the usual ones of as many.

    Args:
        layer: of 2 to 5 axes.
    """
    named = [LONG_NAMES.get(label.lower(), label.lower()) for label in layer.axis_labels]
    if set("yx") <= set(named) <= set(AXIS_NAMES) and len(set(named)) == len(named):
        return "".join(named)
    first = layer.units[0]
    if layer.ndim == 3 and str(first.dimensionality) == "[time]":
        return "tyx"
    return USUAL[layer.ndim]


def check_axes(layer: Image, axes: str) -> None:
    """Refuse names that are not those of a layer's axes.

    Args:
        layer: of 2 to 5 axes.
        axes: their names, in order.

    Raises:
        ConfigError: too few, too many, one twice, or without y and x.
    """
    if len(axes) != layer.ndim or len(set(axes)) < len(axes) or not set("yx") <= set(axes) <= set(AXIS_NAMES):
        raise ConfigError(
            f"axes “{axes}” of {layer.name}: it has {layer.ndim}; name each once, some of t, c, z, and y, x, "
            f"such as {USUAL[layer.ndim]}"
        )


def path_of(layer: Layer) -> Path | None:
    """The file or store that a layer was opened from; of an array in a Zarr store, the store. None: no file.

    Args:
        layer: any.
    """
    text = layer.source.path
    if not text or "://" in text:
        return None
    path = Path(text)
    stores = [one for one in (path, *path.parents) if one.suffix == ".zarr"]
    return stores[-1] if stores else path


@dataclass(frozen=True)
class LayerVolume:
    """The pixels of an image layer as planes; of several levels, those of the finest.

    Attributes:
        info: what is known of it, with the axes in the order t, c, z, y, x.
        array: as the layer has it: of NumPy, Dask, Zarr or the like.
        order: for each axis of ``info``, its number in the array.
        mark: of the array, which no other one has, nor the same one in another session.
        check: is called before pixels are read; what it raises ends the reading.
    """

    info: VolumeInfo
    array: Any
    order: tuple[int, ...]
    mark: str
    check: Callable[[], None]

    @classmethod
    def of(cls, layer: Image, axes: str, check: Callable[[], None]) -> LayerVolume:
        """The volume of a layer. Call it in napari's own thread.

        Args:
            layer: see ``check_layer``.
            axes: names of its axes, in order.
            check: see the class.

        Raises:
            ConfigError: the axes are not those of the layer.
            VolumeError: pixels or a scale that cannot be worked on.
        """
        check_axes(layer, axes)
        array = layer.data[0] if layer.multiscale else layer.data
        order = tuple(axes.index(name) for name in AXIS_NAMES if name in axes)
        path: Source = path_of(layer) or Path(layer.name.replace("/", "_") or "layer")
        info = VolumeInfo(
            path,
            tuple(Axis(axes[i], _unit(layer, axes, i)) for i in order),
            tuple(int(array.shape[i]) for i in order),
            np.dtype(array.dtype).newbyteorder("="),
            tuple(float(layer.scale[i]) for i in order),
            tuple(float(layer.translate[i]) for i in order),
            name=layer.name,
            omero=None if "c" in axes else _display(layer),
            chunk=_chunk(array, order),
        )
        return cls(info, array, order, _mark(layer, array), check)

    @property
    def metadata_files(self) -> Sequence[Source]:
        """None: whether the pixels have changed is not told by files."""
        return ()

    def read(self, planes: Sequence[int]) -> Raw:
        """Planes (N, H, W), in ``info.dtype``; see ``Volume.read``.

        Raises:
            VolumeError: a plane that cannot be read.
        """
        every = slice(None)
        return np.stack([self.read_window(plane, every, every) for plane in planes])

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        """Window (h, w) of one plane, in ``info.dtype``; see ``Volume.read_window``.

        Raises:
            VolumeError: a plane that cannot be read.
        """
        self.check()
        place = dict(zip(self.order, (*self.info.position(plane), y, x), strict=True))
        index = tuple(place[axis] for axis in range(len(place)))
        try:
            window = np.asarray(self.array[index])
        except Exception as error:  # whatever the array's library raises
            raise VolumeError(
                f"{self.info.name}: {self.info.describe(plane)} cannot be read ({error}); check the file "
                "that the layer is of"
            ) from error
        upright = window if self.order[-2] < self.order[-1] else window.T
        return upright.astype(self.info.dtype, copy=False)


_marks: WeakKeyDictionary[Layer, tuple[Any, str]] = WeakKeyDictionary()
"""The array that each layer had when it was last looked at, and its mark."""


def _mark(layer: Layer, array: Any) -> str:
    known, mark = _marks.get(layer, (None, ""))
    if known is not array:
        mark = uuid4().hex
        _marks[layer] = array, mark
    return mark


def _unit(layer: Image, axes: str, number: int) -> str | None:
    unit = layer.units[number]
    return str(unit) if axes[number] in DIMENSIONS.get(str(unit.dimensionality), "") else None


def _display(layer: Image) -> dict[str, Any]:
    """The NGFF block with name, colour and display range of the only channel."""
    low, high = (float(limit) for limit in layer.contrast_limits)
    red, green, blue = (round(255 * float(part)) for part in layer.colormap.colors[-1][:3])
    window = {"start": low, "end": high, "min": low, "max": high}
    color = f"{red:02X}{green:02X}{blue:02X}"
    return {"channels": [{"label": layer.name, "color": color, "active": True, "window": window}]}


def _chunk(array: Any, order: Sequence[int]) -> tuple[int, ...] | None:
    """Chunks of a Dask or Zarr array, in the order of the axes; None of another one."""
    chunk = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if chunk is None or len(chunk) != len(order) or not all(isinstance(side, int) for side in chunk):
        return None
    return tuple(chunk[i] for i in order)
