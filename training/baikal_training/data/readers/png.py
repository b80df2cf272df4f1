"""PNG, through Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_training.data.readers.base import Index
from baikal_training.data.readers.image import Image

DTYPES = {"L": "u1", "I;16": "u2", "I;16B": "u2", "I": "u2"}
"""Pixel types of Pillow's grey modes; those of 16 bits are "I" in older versions."""


def png_images(path: Path) -> list[Image]:
    """The one image of a PNG file. Raises VolumeError for colours."""
    with PIL.Image.open(path) as image:
        if image.mode not in DTYPES and _levels(image) is None:
            raise VolumeError(
                f"{path}: is a colour or black-and-white image, or has a palette of several hues (mode "
                f"{image.mode}); convert to grey"
            )
        shape, dtype = (image.height, image.width), np.dtype(DTYPES.get(image.mode, "u1"))
    return [Image(str(path), PngPixels(path), shape, dtype, "yx")]


def _levels(image: PIL.Image.Image) -> NDArray[np.uint8] | None:
    """The intensity of each palette entry, where all are shades of grey or of one colour, such as pure red.

    Microscopes store a channel so, and nothing is lost: each of red, green and blue is either the
    intensity, or 0. Other colours have no intensity but by convention, and give None.
    """
    if image.mode != "P":
        return None
    colours = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    levels: NDArray[np.uint8] = colours.max(axis=1)
    used = colours.any(axis=0)
    return levels if (colours[:, used] == levels[:, None]).all() else None


@dataclass(frozen=True)
class PngPixels:
    """Pixels of a PNG file, which can only be decoded whole."""

    path: Path

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        return _decoded(self.path, self.path.stat().st_mtime_ns)[index]


@lru_cache(maxsize=1)  # several windows of one image are read in a row when it is measured
def _decoded(path: Path, modified: int) -> NDArray[Any]:
    with PIL.Image.open(path) as image:
        levels, pixels = _levels(image), np.asarray(image)
    return pixels if levels is None else levels[pixels]
