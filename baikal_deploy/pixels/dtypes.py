"""Pixels in another type: in the same units, rounded and clamped, and never wrapped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import NOTHING, Tally

TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""Pixel types that a result can have whatever its input has: those that OME-Zarr and OME-TIFF know."""


def cast(values: Raw, dtype: DTypeLike) -> Raw:
    """Pixels clamped to the range of a type; for integers they are rounded, and NaN becomes 0."""
    return converted(values, dtype)[0]


def converted(values: Raw, dtype: DTypeLike) -> tuple[Raw, Tally]:
    """Values as ``cast`` makes them, and what a user should know about that."""
    target = np.dtype(dtype)
    limits = np.finfo(target) if target.kind == "f" else np.iinfo(target)
    if _fit(values, limits):
        return (values if target.kind == "f" or values.dtype.kind != "f" else np.rint(values)).astype(
            target
        ), NOTHING
    return _to_real(values, target) if target.kind == "f" else _to_whole(values, target)


def _to_real(values: Raw, target: np.dtype[Any]) -> tuple[Raw, Tally]:
    """Values of which some are not finite, or beyond the type."""
    limits, values = np.finfo(target), values.astype(np.float64)
    low, high = float(limits.min), float(limits.max)
    finite = np.isfinite(values)
    beyond = finite & ((values < low) | (values > high))
    counts = Tally(
        non_finite=values.size - int(np.count_nonzero(finite)), clamped=int(np.count_nonzero(beyond))
    )
    return np.where(finite, np.clip(values, low, high), values).astype(target), counts


def _to_whole(values: Raw, target: np.dtype[Any]) -> tuple[Raw, Tally]:
    """Values of which some are NaN, or beyond the type of integers."""
    low, high = np.iinfo(target).min, np.iinfo(target).max
    clamped = np.count_nonzero(values < low - 0.5) + np.count_nonzero(values > high + 0.5)
    if values.dtype.kind != "f":
        own = np.iinfo(values.dtype)
        whole = np.clip(values, max(low, own.min), min(high, own.max))
        return whole.astype(target), Tally(clamped=int(clamped))
    if target.itemsize > 2:
        values = values.astype(np.float64)
    # float64 cannot hold the largest 64-bit integers: step down to what converts back safely.
    top = float(high) if high < 2**53 else np.nextafter(float(high), 0)
    whole = np.clip(np.rint(values), float(low), top)
    unknown = np.isnan(whole)
    lost = int(np.count_nonzero(unknown))
    if lost:
        whole[unknown] = 0
    return whole.astype(target), Tally(clamped=int(clamped), lost=lost)


def _fit(values: Raw, limits: Any) -> bool:
    """True if all values lie in the range of a type, also when they are rounded, and none is NaN."""
    if not values.size:
        return True
    lowest, highest = values.min(), values.max()
    if values.dtype.kind != "f":
        return bool(int(lowest) >= limits.min and int(highest) <= limits.max)
    edge = 0.5 if isinstance(limits, np.iinfo) else 0.0
    low, high = float(limits.min) - edge, float(limits.max) + edge
    return low < float(lowest) and float(highest) < high
