"""Pixels in another type: in the same units, rounded and clamped, and never wrapped."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import Tally

TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""Pixel types that a result can have whatever its input has: those that OME-Zarr and OME-TIFF know."""


def cast(values: Raw, dtype: DTypeLike) -> Raw:
    """Pixels clamped to the range of a type; for integers they are rounded, and NaN becomes 0."""
    target = np.dtype(dtype)
    if target.kind == "f":
        limits, values = np.finfo(target), values.astype(np.float64)
        clamped = np.clip(values, float(limits.min), float(limits.max))
        return np.where(np.isfinite(values), clamped, values).astype(target)
    low, high = np.iinfo(target).min, np.iinfo(target).max
    if values.dtype.kind != "f":
        own = np.iinfo(values.dtype)
        return np.clip(values, max(low, own.min), min(high, own.max)).astype(target)
    # float64 cannot hold the largest 64-bit integers: step down to what converts back safely.
    top = float(high) if high < 2**53 else np.nextafter(float(high), 0)
    whole = np.rint(values)
    if not _within(whole, low, top):
        whole = np.clip(np.where(np.isnan(whole), 0, whole), float(low), top)
    return whole.astype(target)


def converted(values: Raw, dtype: DTypeLike) -> tuple[Raw, Tally]:
    """Values as ``cast`` makes them, and what a user should know about that."""
    target = np.dtype(dtype)
    if target.kind == "f":
        non_finite = values.size - int(np.count_nonzero(np.isfinite(values)))
        limits, values = np.finfo(target), values.astype(np.float64)
        beyond = np.isfinite(values) & ((values < float(limits.min)) | (values > float(limits.max)))
        return cast(values, target), Tally(non_finite=non_finite, clamped=int(np.count_nonzero(beyond)))
    low, high = np.iinfo(target).min, np.iinfo(target).max
    if _within(values, low - 0.5, high + 0.5):
        return cast(values, target), Tally()
    beyond = (values < low - 0.5) | (values > high + 0.5)
    lost = int(np.count_nonzero(np.isnan(values)))
    return cast(values, target), Tally(clamped=int(np.count_nonzero(beyond)), lost=lost)


def _within(values: Raw, low: float, high: float) -> bool:
    """True if all values lie in a range, and none is NaN."""
    return bool(values.size) and bool(values.min() >= low) and bool(values.max() <= high)
