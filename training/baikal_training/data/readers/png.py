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
        if image.mode not in DTYPES:
            raise VolumeError(
                f"{path}: is a colour, palette or black-and-white image (mode {image.mode}); convert to grey"
            )
        shape, dtype = (image.height, image.width), np.dtype(DTYPES[image.mode])
    return [Image(str(path), PngPixels(path), shape, dtype, "yx")]


@dataclass(frozen=True)
class PngPixels:
    """Pixels of a PNG file, which can only be decoded whole."""

    path: Path

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        return _decoded(self.path, self.path.stat().st_mtime_ns)[index]


@lru_cache(maxsize=1)  # several windows of one image are read in a row when it is measured
def _decoded(path: Path, modified: int) -> NDArray[Any]:
    with PIL.Image.open(path) as image:
        return np.asarray(image)
