"""``fit_noise`` as nodes: a line through the variance of the noise in bins of intensity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baikal_deploy.measurement.noise_model import (
    BINS,
    CERTAIN,
    CLIP,
    CLIP_GAIN,
    LEAST_CLIP,
    LEAST_IN_BIN,
    LEAST_VARIANCE,
    MODEL_ERROR,
)
from baikal_export.fused.nodes import Value

CLIPPINGS, FITS = 5, 10
"""Times that outliers are left out, and that the line is fitted."""
_CELLS = 2 * BINS - 1
"""Most bins: as many as the edges of equal counts and of equal ranges make together."""


@dataclass(frozen=True)
class Details:
    """Details of noise in blocks of pixels, in raw units, each (n,).

    Attributes:
        details: diagonal Haar details.
        means: estimates of the intensity there.
        kept: 1, or 0 for blocks that say nothing.
        grey_level: distance of grey levels, a scalar.
    """

    details: Value
    means: Value
    kept: Value
    grey_level: Value


@dataclass(frozen=True)
class _Bins:
    """Bins of intensity, each (_CELLS,).

    Attributes:
        x, variance, count: see ``noise_model._bins``.
        used: 1, or 0 for bins with too few details.
    """

    x: Value
    variance: Value
    count: Value
    used: Value


def fitted(seen: Details) -> tuple[Value, Value, Value]:
    """Gain, intercept and floor; the gain is 0 where the noise does not depend on the signal."""
    nodes, clip = seen.means.nodes, seen.grey_level * LEAST_CLIP
    one = nodes.ints([0])
    everywhere = nodes.op("Expand", one, nodes.op("Shape", seen.details))
    overall = nodes.op("Squeeze", _clipped(seen.details, everywhere, seen.kept, clip, 1))
    bins = _binned(seen, clip)
    gain, intercept, error = _line(bins, overall)
    depends = (bins.used.sum() >= 3.0) & (overall > 0.0)
    depends = depends & (gain > error * CERTAIN)
    floor = _floor(bins).at_least(overall * LEAST_VARIANCE)
    where = nodes.where
    return where(depends, gain, 0.0), where(depends, intercept, overall), where(depends, floor, overall)


def _binned(seen: Details, clip: Value) -> _Bins:
    """Bins by edges of equal counts and of equal ranges, which both split the sorted details."""
    nodes = seen.means.nodes
    count = nodes.op("Reshape", seen.means.size(), nodes.ints([1]))
    means, places = nodes.ops("TopK", 2, seen.means, count)
    details, kept = seen.details.taken(0, places), seen.kept.taken(0, places)
    ranks = nodes.op("Range", nodes.ints(0), seen.means.size(), nodes.ints(1))
    by_count = ranks * nodes.ints(BINS) / seen.means.size()
    highest, lowest = means.max(), means.min()
    span = (highest - lowest).at_least(1e-30)
    by_range = ((highest - means) / span * float(BINS - 1)).whole()
    cells = by_count + nodes.op("Min", by_range, nodes.ints(BINS - 2))
    counts = _sums(kept, cells, _CELLS)
    x = lowest + _sums((means - lowest) * kept, cells, _CELLS) / counts.at_least(1.0)
    variance = _clipped(details, cells, kept, clip, _CELLS)
    return _Bins(x, variance, counts, (counts >= float(LEAST_IN_BIN)).float())


def _sums(values: Value, cells: Value, number: int) -> Value:
    """Sums of values (n,) by their cell: (number,)."""
    nodes = values.nodes
    nothing = nodes.constant(np.zeros(number))
    return nodes.op("ScatterElements", nothing, cells, values, axis=0, reduction="add")


def _clipped(details: Value, cells: Value, kept: Value, clip: Value, number: int) -> Value:
    """See ``noise_model._clipped_variance``, for each cell: (number,)."""
    squares = details * details
    variance = _sums(squares * kept, cells, number) / _sums(kept, cells, number).at_least(1.0)
    for _ in range(CLIPPINGS):
        limit = (variance.sqrt() * CLIP).at_least(clip)
        inside = (details.abs() <= limit.taken(0, cells)).float() * kept
        total = _sums(squares * inside, cells, number)
        variance = total / _sums(inside, cells, number).at_least(1.0) * CLIP_GAIN**2
    return variance


def _line(bins: _Bins, overall: Value) -> tuple[Value, Value, Value]:
    """See ``noise_model._line``: the slope, the value at 0, and the slope's standard error.

    Variances are told in units of ``overall``, and intensities in the range of the bins, as squares of
    large numbers leave float32.
    """
    used, unit = bins.used, overall.at_least(1e-30)
    weights = bins.count * used
    total = weights.sum().at_least(1.0)
    centre = (bins.x * weights).sum() / total
    reach = ((bins.x - centre).abs() * used).max().at_least(1e-30)
    x, y = (bins.x - centre) / reach * used, bins.variance / unit
    relative = 2.0 / bins.count.at_least(1.0) + MODEL_ERROR**2
    slope, value = y.nodes.constant(0.0), (y * weights).sum() / total
    least = (y * used).max() * 1e-3
    for _ in range(FITS):
        predicted = (x * slope + value).at_least(least).at_least(1e-30)
        weight = used / (predicted * predicted * relative)
        distance = (y - predicted).abs() * weight.sqrt()
        weight = weight * (2.0 / distance.at_least(1e-9)).at_most(1.0)
        s, sx, sxx = weight.sum(), (weight * x).sum(), (weight * x * x).sum()
        sy, sxy = (weight * y).sum(), (weight * x * y).sum()
        determinant = (s * sxx - sx * sx).at_least(1e-30)
        slope = (s * sxy - sx * sy) / determinant
        value = (sxx * sy - sx * sxy) / determinant
    error = (s / determinant).sqrt()
    gain = slope * unit / reach
    return gain, value * unit - gain * centre, error * unit / reach


def _floor(bins: _Bins) -> Value:
    """Least variance of the larger half of the bins that are used."""
    nodes = bins.count.nodes
    counts, _ = nodes.ops("TopK", 2, bins.count * bins.used, nodes.ints([_CELLS]))
    last = (bins.used.sum() - 1.0).at_least(0.0) * 0.5
    before = last.whole()
    after = nodes.op("Cast", nodes.op("Ceil", last), to=7)
    median = (counts.taken(0, before) + counts.taken(0, after)) * 0.5
    large = (bins.count >= median) & (bins.used > 0.0)
    return nodes.where(large, bins.variance, 3e38).min()
