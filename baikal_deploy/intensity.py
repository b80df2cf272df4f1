"""Intensity mapping between raw counts and the network's scale, and the noise level of raw data.

Normalisation is one affine map per volume and channel, never per plane or tile: a map per plane
would boost empty planes and shift baselines. Percentiles of a noisy volume measure its noise
rather than its signal: see measurement.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from baikal_deploy.blocks import blocks
from baikal_deploy.errors import ConfigError
from baikal_deploy.pixel_types import cast

Raw = NDArray[Any]
"""Pixels of any real dtype, in the units of the file."""
Plane = NDArray[np.float32]

SAMPLE_PIXELS = 2**21
"""Most pixels of a channel that are looked at to measure it."""
SAMPLE_SIDE = 256
"""Side of the windows that make up a sample of a channel too large to look at whole."""
BLOCK = 4
"""Side of the blocks whose means stand in for a denoised image at first (noise falls by this factor)."""


@dataclass(frozen=True)
class Normalisation:
    """Which percentiles of a clean image map to −1 and 1; a property of the model.

    Attributes:
        low, high: percentiles, 0 … 100.
    """

    low: float = 1.0
    high: float = 99.8

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise ConfigError(
                f"normalisation: percentiles {self.low} and {self.high} are not ordered in 0 … 100"
            )

    def of(self, planes: Sequence[Raw]) -> IntensityMap:
        """The map of clean planes. Falls back to the whole range where the percentiles coincide,
        as they do when nearly all of an image is background."""
        finite = (plane[np.isfinite(plane)].astype(np.float64) for plane in planes)
        pixels = np.concatenate([np.empty(0), *finite])
        if not pixels.size:
            return IntensityMap(0.0, 0.0)
        low, high = np.percentile(pixels, [self.low, self.high])
        if high <= low:
            low, high = pixels.min(), pixels.max()
        return IntensityMap(float(low), float(high))


@dataclass(frozen=True)
class IntensityMap:
    """Affine map from raw intensities to the network's scale, and its exact inverse.

    Attributes:
        low, high: raw intensities that map to −1 and 1. Nothing is clipped in between or beyond.
    """

    low: float
    high: float

    @property
    def is_constant(self) -> bool:
        """True where there is no range to map: the data holds one value, or none."""
        return not self.high > self.low

    @property
    def half(self) -> float:
        """Raw units that are 1 on the network's scale."""
        return (self.high - self.low) / 2

    def normalise(self, raw: Raw) -> Plane:
        flat = raw.reshape(-1)
        result = np.empty(flat.shape, np.float32)
        for block in blocks(flat.size):
            scaled = np.subtract(flat[block], self.low, dtype=np.float64)
            scaled *= 1 / self.half
            scaled -= 1
            result[block] = scaled
        return result.reshape(raw.shape)

    def raw(self, x: Plane) -> NDArray[np.float64]:
        """Back to raw units, unrounded."""
        raw = np.add(x, 1, dtype=np.float64)
        raw *= self.half
        raw += self.low
        return raw

    def denormalise(self, x: Plane, dtype: DTypeLike) -> Raw:
        """Back to raw units in a pixel type; see ``pixel_types.cast``."""
        return cast(self.raw(x), dtype)

    def normalised_sigma(self, sigma: float) -> float:
        """A standard deviation in raw units, on the network's scale."""
        return sigma / self.half


def sample_windows(num_planes: int, shape: tuple[int, int]) -> list[tuple[int, slice, slice]]:
    """A bounded sample of a channel: (plane, y, x) of each window.

    Everything where that is within bounds; otherwise windows whose planes are evenly spaced and
    whose places follow a low-discrepancy sequence (Roberts 2018, R2). The same for any chunking.
    """
    height, width = shape
    if num_planes * height * width <= SAMPLE_PIXELS:
        return [(plane, slice(0, height), slice(0, width)) for plane in range(num_planes)]
    rows, columns = min(height, SAMPLE_SIDE), min(width, SAMPLE_SIDE)
    count = SAMPLE_PIXELS // (rows * columns)
    windows = []
    for i in range(count):
        plane = (2 * i + 1) * num_planes // (2 * count)
        top = int((0.5 + i * 0.7548776662) % 1 * (height - rows + 1))
        left = int((0.5 + i * 0.5698402910) % 1 * (width - columns + 1))
        windows.append((plane, slice(top, top + rows), slice(left, left + columns)))
    return windows


def noise_std(planes: Sequence[Raw]) -> float:
    """Standard deviation of white noise: the rms of the diagonal Haar detail
    (a − b − c + d)/2 over 2x2 blocks, which sees little of smooth structure.

    Args:
        planes: (H, W) arrays; non-finite pixels are left out.
    """
    total, count = 0.0, 0
    for plane in planes:
        height, width = (side - side % 2 for side in plane.shape)
        quads = plane[:height, :width].astype(np.float64)
        with np.errstate(invalid="ignore"):  # inf − inf
            detail = (quads[::2, ::2] - quads[::2, 1::2] - quads[1::2, ::2] + quads[1::2, 1::2]) / 2
        detail = detail[np.isfinite(detail)]
        total, count = total + float(np.square(detail).sum()), count + detail.size
    return float(np.sqrt(total / count)) if count else 0.0


def block_means(plane: Raw) -> NDArray[np.float64]:
    """Means of blocks of BLOCK² pixels (smaller planes: one block), ignoring non-finite pixels."""
    side = max(1, min(BLOCK, *plane.shape))
    height, width = (length - length % side for length in plane.shape)
    blocks = plane[:height, :width].astype(np.float64).reshape(height // side, side, width // side, side)
    finite = np.isfinite(blocks)
    count = finite.sum(axis=(1, 3))
    total = np.where(finite, blocks, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def is_constant(plane: Raw) -> bool:
    """Whether its finite pixels hold one value, or there is none."""
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    return not finite.size or bool(finite.min() == finite.max())


def fill_non_finite(plane: Raw) -> Raw:
    """The plane with NaN and infinities replaced by the median of its finite pixels (0 without any)."""
    if plane.dtype.kind != "f" or (finite := np.isfinite(plane)).all():
        return plane
    return np.where(finite, plane, np.median(plane[finite]) if finite.any() else 0)
