"""Intensity mapping between raw counts and the network's scale, and the noise level of raw data.

Normalisation is one affine map per volume and channel, never per plane or tile: a map per plane
would boost empty planes and shift baselines. Percentiles of a noisy volume measure its noise
rather than its signal: see channel.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Plane, Raw, blocks
from baikal_deploy.pixels.dtypes import cast


@dataclass(frozen=True)
class Normalisation:
    """The percentiles of a clean image that map to −1 and 1; a property of the model.

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
        """The map of clean planes (H, W); of the whole range, where the percentiles coincide.

        They do so when nearly all of an image is background.
        """
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
        """Raw units on the network's scale, float32, in the shape of ``raw``."""
        flat = raw.reshape(-1)
        result = np.empty(flat.shape, np.float32)
        for block in blocks(flat.size):
            put_scaled(flat[block], 1 / self.half, self.low / self.half + 1, result[block])
        return result.reshape(raw.shape)

    def raw(self, x: Plane, dtype: DTypeLike = np.float64) -> Raw:
        """Values of the network's scale back in raw units, unrounded.

        Args:
            x: of any shape.
            dtype: that they are going to have. In float32 those of up to 16 bits, and float32 itself, are as
                exact as x is; others take float64.
        """
        target = np.dtype(dtype)
        exact = target.itemsize <= 2 or target == np.float32
        working = np.dtype(np.float32 if exact else np.float64)
        with np.errstate(over="ignore"):  # whatever is so far off is clamped
            raw: Raw = np.multiply(x, working.type(self.half), dtype=working)
            raw += working.type(self.low + self.half)
        return raw

    def denormalise(self, x: Plane, dtype: DTypeLike) -> Raw:
        """Values of the network's scale back in raw units in a pixel type; see ``dtypes.cast``."""
        return cast(self.raw(x, dtype), dtype)

    def normalised_sigma(self, sigma: float) -> float:
        """A standard deviation in raw units, on the network's scale."""
        return sigma / self.half


def put_scaled(raw: Raw, factor: float, less: float, out: Raw) -> None:
    """Put factor·raw − less into an array of float32 or float64.

    Args:
        raw: of any shape and real dtype.
        out: of the same shape. Integers of up to 16 bits are scaled in its type, which holds them; others in
            float64.
    """
    few = raw.dtype.kind in "bui" and raw.dtype.itemsize <= 2
    dtype = out.dtype if few else np.dtype(np.float64)
    scaled = np.multiply(raw, factor, out=out if few else None, dtype=dtype)
    np.subtract(scaled, dtype.type(less), out=out, casting="same_kind")


def is_constant(plane: Raw) -> bool:
    """True if the plane's finite pixels hold one value, or there is none."""
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    return not finite.size or bool(finite.min() == finite.max())


def fill_non_finite(plane: Raw) -> Raw:
    """The plane with NaN and infinities replaced by the median of its finite pixels (0 without any)."""
    if plane.dtype.kind != "f" or (finite := np.isfinite(plane)).all():
        return plane
    return np.where(finite, plane, np.median(plane[finite]) if finite.any() else 0)
