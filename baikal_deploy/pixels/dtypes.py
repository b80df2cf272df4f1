"""Pixels in another type: in the same units, rounded and clamped, and never wrapped."""

from __future__ import annotations

import math
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
    lowest, highest = _ends(values)
    if _fit(lowest, highest, limits):
        return (values if target.kind == "f" or values.dtype.kind != "f" else np.rint(values)).astype(
            target
        ), NOTHING
    return _to_real(values, target) if target.kind == "f" else _to_whole(values, target, lowest, highest)


def _ends(values: Raw) -> tuple[float, float]:
    """Lowest and highest of some values, as Python has them; NaN both, if one of them is."""
    return (values.min().item(), values.max().item()) if values.size else (0, 0)


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


def _to_whole(values: Raw, target: np.dtype[Any], lowest: float, highest: float) -> tuple[Raw, Tally]:
    """Values of which some are NaN, or beyond the type of integers; see ``_ends``."""
    low, high, clamped = np.iinfo(target).min, np.iinfo(target).max, 0
    if not lowest >= low - 0.5:
        clamped += int(np.count_nonzero(values < low - 0.5))
    if not highest <= high + 0.5:
        clamped += int(np.count_nonzero(values > high + 0.5))
    if values.dtype.kind != "f":
        own = np.iinfo(values.dtype)
        whole = np.clip(values, max(low, own.min), min(high, own.max))
        return whole.astype(target), Tally(clamped=clamped)
    if target.itemsize > 2:
        values = values.astype(np.float64)
    # float64 cannot hold the largest 64-bit integers: step down to what converts back safely.
    top = float(high) if high < 2**53 else np.nextafter(float(high), 0)
    whole, lost = np.rint(values), 0
    np.clip(whole, float(low), top, out=whole)
    if math.isnan(lowest):
        unknown = np.isnan(whole)
        lost = int(np.count_nonzero(unknown))
        whole[unknown] = 0
    return whole.astype(target), Tally(clamped=clamped, lost=lost)


def _fit(lowest: float, highest: float, limits: Any) -> bool:
    """True if all values lie in the range of a type, also when they are rounded, and none is NaN."""
    if isinstance(lowest, int):
        return bool(lowest >= limits.min and highest <= limits.max)
    edge = 0.5 if isinstance(limits, np.iinfo) else 0.0
    low, high = float(limits.min) - edge, float(limits.max) + edge
    return low < lowest and highest < high
