"""One stain in colours: the intensity of pixels that all have the hue of one lookup table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

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


class Colours(Protocol):
    """A plane (H, W, 3) of red, green and blue, whose rows are read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


def strongest(path: Path, planes: Sequence[Colours], lossy: bool) -> int:
    """Which of red, green and blue holds the intensity of one stain.

    A lookup table of one hue multiplies three fixed numbers by the intensity, so that red, green and blue are
    in the same proportion everywhere.

    Args:
        path: the image, for messages.
        planes: at least one, of whole numbers.
        lossy: whether they were compressed with loss.

    Returns:
        Number of the strongest colour.

    Raises:
        VolumeError: there is more than one hue.
    """
    sums, products = np.zeros(3), np.zeros((3, 3))
    for plane in planes:
        for _, strip in _strips(plane):
            flat = strip.reshape(-1, 3)
            sums += flat.sum(axis=0)
            products += flat.T @ flat
    key = int(sums.argmax())
    hue = products[key] / max(products[key, key], 1.0)
    for number, plane in enumerate(planes):
        where = f"plane {number} " if len(planes) > 1 else ""
        for row, strip in _strips(plane):
            _require_hue(f"{path}: {where}", row, _means(strip) if lossy else strip, hue, key, lossy)
    return key


def _strips(plane: Colours) -> Iterator[tuple[int, NDArray[np.float64]]]:
    for row in range(0, len(plane), STRIP):
        yield row, plane[row : row + STRIP].astype(np.float64)


def _means(strip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of whole blocks; of all pixels where there is no whole one."""
    rows, columns = (max(1, length // BLOCK) for length in strip.shape[:2])
    height, width = (min(length, BLOCK) for length in strip.shape[:2])
    whole = strip[: rows * height, : columns * width]
    means: NDArray[np.float64] = whole.reshape(rows, height, columns, width, 3).mean(axis=(1, 3))
    return means


def _require_hue(
    what: str, row: int, strip: NDArray[np.float64], hue: NDArray[np.float64], key: int, lossy: bool
) -> None:
    off = np.abs(strip - strip[..., key, None] * hue).max(axis=-1)
    if off.max() <= (LOSSY if lossy else EXACT):
        return
    y, x = np.unravel_index(int(off.argmax()), off.shape)
    side = BLOCK if lossy else 1
    raise VolumeError(
        f"{what}is a colour picture of more than one hue (at y={row + int(y) * side} x={int(x) * side}, "
        f"for one), from which no intensity can be told; save each stain by itself, in grey, without scale "
        f"bar or text"
    )
