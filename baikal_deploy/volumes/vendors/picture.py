"""Reads PNG and JPEG pictures: grey ones, and those of one stain in one hue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.calibration import Calibration
from baikal_deploy.volumes.hue import strongest
from baikal_deploy.volumes.series import SeriesVolume, choose, describe_file, opening

GREY = {"L": "u1", "I;16": "u2", "I;16B": "u2", "I;16L": "u2", "I": "u2"}
"""Pixel types of Pillow's modes with one number a pixel; those of 16 bits are "I" in older versions."""
COLOUR = ("RGB", "RGBA", "LA", "P", "PA")
COMPRESSED = (
    "JPEG has changed the picture: it takes away a part of the noise and leaves blocks of 8 x 8 pixels, "
    "which count as structure; denoise the microscope's own file if there is one"
)


def open_picture(path: Path, series: int | None = None) -> SeriesVolume:
    """Open a PNG or JPEG file, whose pixels are decoded at once.

    Args:
        path: the file.
        series: number of the image, 0; None: the same.

    Returns:
        The picture as a volume of one plane, without a pixel size.

    Raises:
        VolumeError: a file that is damaged; colours that are not those of one hue; pixels that are
            transparent, or only black and white.
    """
    choose(path, [path.name], series)
    with opening(path, "a PNG or JPEG file"), PIL.Image.open(path, formats=("PNG", "JPEG")) as picture:
        _require_all_bits(path, picture)
        picture.load()
        lossy = picture.format == "JPEG"
        pixels = _pixels(path, picture, lossy)
    sizes = dict(zip("yx", pixels.shape, strict=True))
    remarks = (COMPRESSED,) if lossy else ()
    info = describe_file(path, sizes, pixels.dtype, Calibration(remarks=remarks))
    return SeriesVolume(info, pixels, "yx", frozenset([path.resolve()]))


def _require_all_bits(path: Path, picture: PIL.Image.Image) -> None:
    """Refuse colours of 16 bits, of which Pillow reads 8, without a word."""
    if picture.mode in COLOUR and any(";16" in str(tile) for tile in getattr(picture, "tile", ())):
        raise VolumeError(
            f"{path}: has colours of 16 bits, of which only 8 could be read; save it in grey, or as a TIFF"
        )


def _pixels(path: Path, picture: PIL.Image.Image, lossy: bool) -> NDArray[Any]:
    """Intensities (H, W) of a picture that was loaded."""
    if picture.mode not in (*GREY, *COLOUR):
        what = "black and white alone" if picture.mode == "1" else f"colours of the kind {picture.mode}"
        raise VolumeError(f"{path}: holds {what}; export the image in grey")
    if picture.mode in GREY and "transparency" not in picture.info:
        return np.asarray(picture).astype(GREY[picture.mode])
    colours = np.asarray(picture.convert("RGBA"))
    if colours[..., 3].min() < 255:
        raise VolumeError(f"{path}: has transparent pixels, whose intensity is unknown; save it without")
    return np.ascontiguousarray(colours[..., strongest(path, [colours[..., :3]], lossy)])
