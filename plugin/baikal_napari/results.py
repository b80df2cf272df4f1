"""What a run has written, as layers that lie and look as their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from dask import array as dask_array
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from baikal_deploy.run.maps import STD_SHOWN

da: Any = dask_array
"""Half of it is not typed."""
PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
LOOK = ("colormap", "gamma", "blending", "interpolation2d", "interpolation3d", "rendering")
SUSPECT = "red"


@dataclass(frozen=True)
class Source:
    """How a layer lies and looks, when a run over it begins.

    Attributes:
        name: of the layer.
        place: where it lies.
        look: how it looks, without its contrast limits.
        limits: these.
        order: for each axis of an OME-Zarr of it, its number in the layer.
    """

    name: str
    place: dict[str, Any]
    look: dict[str, Any]
    limits: tuple[float, float]
    order: tuple[int, ...]

    @classmethod
    def of(cls, layer: Image, order: tuple[int, ...]) -> Source:
        """The source that a layer is.

        Args:
            layer: as it is now.
            order: see the class.
        """
        place, look = ({name: getattr(layer, name) for name in names} for names in (PLACE, LOOK))
        low, high = (float(limit) for limit in layer.contrast_limits)
        return cls(layer.name, place, look, (low, high), order)

    def result(self, path: Path) -> Image:
        """Layer of a denoised image.

        Args:
            path: of the OME-Zarr.
        """
        return self._image(path, f"{self.name} denoised", self.limits)

    def uncertainty(self, path: Path) -> Image:
        """Layer of the standard deviations of a denoised image; hidden, as it would cover that.

        Args:
            path: of the OME-Zarr.
        """
        limits = 0, STD_SHOWN * (self.limits[1] - self.limits[0])
        found = self._image(path, f"{self.name} std", limits)
        found.visible = False
        return found

    def mask(self, path: Path) -> Labels:
        """Layer with a label where a denoised image contradicts its data.

        Args:
            path: of the OME-Zarr.
        """
        colours = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: SUSPECT})
        name = f"{self.name} suspect"
        return Labels(**self._pixels(path), name=name, colormap=colours, opacity=0.6, **self.place)

    def preview(self, pixels: np.ndarray, start: Sequence[int], layer: Image) -> Image:
        """Layer of a preview.

        Args:
            pixels: (h, w).
            start: index of its first pixel along each axis of the layer.
            layer: the source.
        """
        place = {**self.place, "translate": layer.affine.inverse(layer.data_to_world(start))}
        data = shaped(pixels, self.order)
        return Image(data, name=f"{self.name} preview", contrast_limits=self.limits, **self.look, **place)

    def _image(self, path: Path, name: str, limits: tuple[float, float]) -> Image:
        return Image(**self._pixels(path), name=name, contrast_limits=limits, **self.look, **self.place)

    def _pixels(self, path: Path) -> dict[str, Any]:
        """Pixels of an OME-Zarr, which are read when they are looked at."""
        group = zarr.open_group(path, mode="r")
        described: Any = group.attrs["ome"]
        levels = [one["path"] for one in described["multiscales"][0]["datasets"]]
        axes = _back(self.order)
        arrays = [da.from_zarr(str(path), component=level).transpose(axes) for level in levels]
        return {"data": arrays, "multiscale": True} if len(arrays) > 1 else {"data": arrays[0]}


def shaped(pixels: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """A plane (h, w) with all axes of its layer, of which the others have the size 1.

    Args:
        pixels: (h, w).
        order: see ``Source``.
    """
    found: np.ndarray = pixels[(None,) * (len(order) - 2)].transpose(_back(order))
    return found


def _back(order: Sequence[int]) -> tuple[int, ...]:
    """The order that puts the axes of an OME-Zarr where the layer has them."""
    return tuple(order.index(axis) for axis in range(len(order)))


def remove(viewer: Any, layer: Layer | None) -> None:
    """Take a layer out of a viewer, if it is still there.

    Args:
        viewer: that it may be in.
        layer: None: nothing is to be done.
    """
    if layer is not None and layer in viewer.layers:
        viewer.layers.remove(layer)
