"""One stain in colours: the intensity of pixels that all have the hue of one lookup table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError

EXACT = 2
"""Grey values by which a colour may differ from the hue: it was rounded."""
LOSSY = 10
"""The same for means of JPEG's blocks, in whose midst it blurs colours."""
BLOCK = 8
"""Side of JPEG's blocks."""
STRIP = 512
"""Rows that are looked at together; a multiple of BLOCK."""


def intensities(path: Path, colours: NDArray[np.uint8], lossy: bool) -> NDArray[np.uint8]:
    """Intensities of a picture of one stain: what its strongest colour holds.

    A lookup table of one hue multiplies three fixed numbers by the intensity, so that red, green and blue are
    in the same proportion everywhere.

    Args:
        path: the picture, for messages.
        colours: (H, W, 3).
        lossy: whether it was compressed with loss.

    Returns:
        (H, W).

    Raises:
        VolumeError: there is more than one hue.
    """
    sums, products = np.zeros(3), np.zeros((3, 3))
    for _, strip in _strips(colours):
        flat = strip.reshape(-1, 3)
        sums += flat.sum(axis=0)
        products += flat.T @ flat
    key = int(sums.argmax())
    hue = products[key] / max(products[key, key], 1.0)
    for row, strip in _strips(colours):
        _require_hue(path, row, _means(strip) if lossy else strip, hue, key, lossy)
    return np.ascontiguousarray(colours[..., key])


def _strips(colours: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for row in range(0, len(colours), STRIP):
        yield row, colours[row : row + STRIP].astype(np.float64)


def _means(strip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of whole blocks; of all pixels where there is no whole one."""
    rows, columns = (max(1, length // BLOCK) for length in strip.shape[:2])
    height, width = (min(length, BLOCK) for length in strip.shape[:2])
    whole = strip[: rows * height, : columns * width]
    means: NDArray[np.float64] = whole.reshape(rows, height, columns, width, 3).mean(axis=(1, 3))
    return means


def _require_hue(
    path: Path, row: int, strip: NDArray[np.float64], hue: NDArray[np.float64], key: int, lossy: bool
) -> None:
    off = np.abs(strip - strip[..., key, None] * hue).max(axis=-1)
    if off.max() <= (LOSSY if lossy else EXACT):
        return
    y, x = np.unravel_index(int(off.argmax()), off.shape)
    side = BLOCK if lossy else 1
    raise VolumeError(
        f"{path}: is a colour picture of more than one hue (at y={row + int(y) * side} x={int(x) * side}, "
        f"for one), from which no intensity can be told; save each stain by itself, in grey, without scale "
        f"bar or text"
    )
