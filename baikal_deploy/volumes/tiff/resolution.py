"""Resolution tags of the TIFF standard, which programs read that read no OME-XML, such as ImageJ itself."""

from __future__ import annotations

from typing import Any

from baikal_deploy.volumes.base import VolumeInfo

CENTIMETRES = {
    "angstrom": 1e-8, "picometer": 1e-10, "nanometer": 1e-7, "micrometer": 1e-4, "millimeter": 0.1,
    "centimeter": 1.0, "meter": 100.0, "inch": 2.54,
}  # fmt: skip
"""Centimetres of each unit."""
LARGEST = 2**32
"""Number that a tag cannot hold."""


def resolution_options(info: VolumeInfo, factors: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    """Arguments with which tifffile writes the tags; none where the pixel size is not known.

    Args:
        info: the image.
        factors: pixels of it per pixel of the level that is written, along y and x.
    """
    sizes = [
        scale * factor * CENTIMETRES.get(axis.unit or "", 0.0)
        for axis, scale, factor in zip(info.axes[-2:], info.scale[-2:], factors, strict=True)
    ]
    if not all(size and 1 / LARGEST < 1 / size < LARGEST for size in sizes):
        return {}
    y, x = (1 / size for size in sizes)
    return {"resolution": (x, y), "resolutionunit": "CENTIMETER"}
