"""TIFF files in colours: one stain in one hue is read, as its intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.volumes.hue import strongest
from baikal_deploy.volumes.series import Index, LazyPixels

LOSSY = (6, 7)
"""Numbers that TIFF has for JPEG."""
COMPRESSED = "JPEG has changed the pixels of this file; denoise the microscope's own file if there is one"


def is_coloured(series: Any) -> bool:
    """True if each pixel of a series is red, green and blue, in whole numbers of up to 16 bits.

    Args:
        series: of tifffile.
    """
    dtype = np.dtype(series.dtype)
    is_whole = dtype.kind == "u" and dtype.itemsize <= 2
    return is_whole and str(series.axes).lower().endswith("yxs") and int(series.shape[-1]) == 3


@dataclass(frozen=True)
class Intensities:
    """Intensities of one stain; read when they are indexed, as the colours are.

    Attributes:
        pixels: with colours as their last axis.
        key: the strongest of them.
    """

    pixels: LazyPixels
    key: int

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        return np.asarray(self.pixels[(*index, self.key)])


@dataclass(frozen=True)
class _Plane:
    """One plane of colours."""

    pixels: LazyPixels
    place: tuple[int, ...]
    height: int

    def __len__(self) -> int:
        return self.height

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        return np.asarray(self.pixels[(*self.place, rows, slice(None), slice(None))])


def intensities(path: Path, series: Any, pixels: LazyPixels) -> Intensities:
    """Intensities of a series that ``is_coloured``. All its pixels are looked at.

    Args:
        path: the file, for messages.
        series: of tifffile.
        pixels: of the series, with its axes.

    Raises:
        VolumeError: there is more than one hue.
    """
    leading = series.shape[:-3]
    places = (np.unravel_index(number, leading) for number in range(prod(leading)))
    planes: Sequence[_Plane] = [
        _Plane(pixels, tuple(int(at) for at in place), series.shape[-3]) for place in places
    ]
    return Intensities(pixels, strongest(path, planes, is_lossy(series)))


def is_lossy(series: Any) -> bool:
    """True if JPEG has changed the pixels of a series.

    Args:
        series: of tifffile.
    """
    return int(series.keyframe.compression) in LOSSY
