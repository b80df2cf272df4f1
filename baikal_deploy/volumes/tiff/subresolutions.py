"""Smaller versions of large planes in a TIFF, made tile by tile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from baikal_deploy.pixels.arrays import Plane, Raw
from baikal_deploy.volumes.pyramid import Level, downsample, pyramid_levels

LARGE = 4096**2
"""Pixels of a plane above which it gets smaller versions."""
TILE = 512
"""Side of a tile, in pixels."""


def has_subresolutions(plane_shape: tuple[int, int]) -> bool:
    """True if planes are so large that a viewer wants smaller versions.

    Args:
        plane_shape: (H, W).
    """
    return plane_shape[0] * plane_shape[1] > LARGE


def levels_of(plane_shape: tuple[int, int]) -> list[Level]:
    """Level 0, and the smaller ones down to the first that is one tile; level 0 alone of small planes.

    Args:
        plane_shape: (H, W).
    """
    levels = pyramid_levels(plane_shape)
    if not has_subresolutions(plane_shape):
        return levels[:1]
    kept = [number for number, level in enumerate(levels) if max(level.plane_shape) > TILE]
    return levels[: kept[-1] + 2]


def tiles_of(plane: Plane | Raw, levels: list[Level], level: int) -> Iterator[Raw]:
    """Tiles of a level of a plane, row by row; those at its lower and right edge may be smaller.

    No more than a few tiles of each level are held.

    Args:
        plane: (H, W); it may be one of a file that is mapped.
        levels: of the plane.
        level: number of the level.
    """
    height, width = levels[level].plane_shape
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            yield np.ascontiguousarray(_tile(plane, levels, level, y, x))


def _tile(plane: Raw, levels: list[Level], level: int, y: int, x: int) -> Raw:
    """The tile that begins at a pixel of a level: of level 0, or made of the four above it."""
    if level == 0:
        return plane[y : y + TILE, x : x + TILE]
    height, width = levels[level - 1].plane_shape
    rows = [top for top in (2 * y, 2 * y + TILE) if top < height]
    columns = [left for left in (2 * x, 2 * x + TILE) if left < width]
    above = np.block([[_tile(plane, levels, level - 1, top, left) for left in columns] for top in rows])
    halved: Raw = downsample(above[None])[0]
    return halved
