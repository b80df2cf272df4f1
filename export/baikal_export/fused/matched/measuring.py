"""The measurement of a channel as nodes: simpler than that of the runtime, by the same formulas.

It sees the planes of one call and nothing else, and looks for no defects, no fills and no objects far
brighter than the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.noise_model import LEVEL_PIXELS, SATURATED_SHARE
from baikal_deploy.measurement.sample import BLOCK
from baikal_export.fused.matched.correlating import Search
from baikal_export.fused.matched.equaliser import Measured
from baikal_export.fused.matched.fit import Details, fitted
from baikal_export.fused.matched.residuals import Dark
from baikal_export.fused.matched.sorting import falling, percentile
from baikal_export.fused.matched.spectrum import Correlation
from baikal_export.fused.matched.surroundings import COLUMNS, ROWS, base_of
from baikal_export.fused.nodes import Term, Value

PASSES = 2
"""Estimates that percentiles and noise are taken from, each with what the one before told."""
SEARCH = 5
"""Most estimates that the correlation of the noise is found with, and percentiles after it."""
_LEAST_STD = 1e-5
"""Least noise that correlation is looked for in, as a share of half the range of intensities."""

Denoise = Callable[[Measured], Value]
"""Denoised planes in raw units, for what is known of them."""


@dataclass(frozen=True)
class Told:
    """What a caller says of how pixels share the noise.

    Attributes:
        correlation: of the noise; that of independent pixels where nothing is said.
        unknown: whether nothing is said.
    """

    correlation: Correlation
    unknown: Value


def measured(image: Value, normalisation: Normalisation, denoise: Denoise, told: Told) -> Measured:
    """What the planes of a call tell of their channel.

    Args:
        image: (N, 1, H, W) in raw units.
        normalisation: the model's percentiles.
        denoise: the network, for a first measurement.
        told: how pixels share the noise, if that is known.
    """
    details = _haar(image)
    variance = (details * details).sum() / details.size().float()
    low, high = _percentiles(_means(image, BLOCK), normalisation)
    zero = image.nodes.constant(0.0)
    found = Measured(low, high, zero, variance, variance, told.correlation)
    kept, clip = _known(image), grey_level(image)
    for _ in range(PASSES):
        estimate = denoise(found)
        low, high = _percentiles(estimate, normalisation)
        seen = Details(details.flat(), _means(estimate, 2).flat(), kept.flat(), clip)
        found = Measured(low, high, *fitted(seen), told.correlation)
    return _with_correlation(image, normalisation, denoise, found, told.unknown)


def _with_correlation(
    image: Value, normalisation: Normalisation, denoise: Denoise, found: Measured, unknown: Value
) -> Measured:
    """What was found, with the correlation of the noise, and with percentiles that leave less of it."""
    nodes, white = image.nodes, Correlation.white(image.nodes)
    before = [found.low, found.high, *found.correlation.values]

    def with_it(correlation: Correlation) -> list[Value]:
        estimate = denoise(replace(found, correlation=correlation))
        return [*_percentiles(estimate, normalisation), *correlation.values]

    def searched() -> list[Value]:
        around = base_of(image)
        std, dark = found.std(around).at_least(found.half * _LEAST_STD), Dark.of(around)

        def removed(factor: Term) -> Value:
            raised = replace(white, raised=white.raised * factor)
            return (image - denoise(replace(found, correlation=raised))) / std

        search = Search(dark, dark.residual((image - dark.background(image)) / std), removed)
        return nodes.either(search.is_suspect, lambda: search.found(with_it, before), lambda: before)

    low, high, *shared = nodes.either(unknown, searched, lambda: before)
    return replace(found, low=low, high=high, correlation=Correlation.of(shared))


def _haar(image: Value) -> Value:
    """Diagonal Haar details of blocks of 2x2 pixels."""
    nodes = image.nodes
    rows, columns = (_even(image.side(axis)) for axis in (ROWS, COLUMNS))
    whole = image.part(ROWS, 0, rows).part(COLUMNS, 0, columns)
    difference = whole.part(COLUMNS, 0, 2**62, 2) - whole.part(COLUMNS, 1, 2**62, 2)
    crossed = difference.part(ROWS, 0, 2**62, 2) - difference.part(ROWS, 1, 2**62, 2)
    return crossed * nodes.constant(0.5)


def _even(side: Value) -> Value:
    nodes = side.nodes
    two = nodes.ints(2)
    return nodes.op("Reshape", side / two * two, nodes.ints([1]))


def _means(planes: Value, side: int) -> Value:
    """Means of square blocks; what is left over at the edges counts for nothing."""
    return planes.nodes.op("AveragePool", planes, kernel_shape=[side, side], strides=[side, side])


def _percentiles(planes: Value, normalisation: Normalisation) -> list[Value]:
    """The low and the high percentile of all pixels; lowest and highest, where these are the same."""
    ordered = falling(planes.flat())[0]
    low, high = (percentile(ordered, percent) for percent in (normalisation.low, normalisation.high))
    ranges = high > low
    where = planes.nodes.where
    return [where(ranges, low, planes.min()), where(ranges, high, planes.max())]


def _known(image: Value) -> Value:
    """1 for each block of 2x2 pixels without one at the detector's limit; see ``detector_limit``."""
    nodes = image.nodes
    highest = image.max()
    count = (image >= highest).float().sum()
    below = nodes.where(image < highest, image, -3e38)
    second = (image >= below.max()).float().sum() - count
    pixels = image.size().float() * SATURATED_SHARE
    limited = (count > pixels.at_least(1.0)) & (second * 2.0 < count)
    limit = nodes.where(limited, highest, 3e38)
    return (nodes.op("MaxPool", image, kernel_shape=[2, 2], strides=[2, 2]) < limit).float()


def grey_level(image: Value) -> Value:
    """Smallest difference of two values; 0 where there is one; see ``noise_model.grey_level``."""
    nodes, pixels = image.nodes, image.flat()
    step = pixels.size() / nodes.ints(LEVEL_PIXELS) + nodes.ints(1)
    ordered, _ = falling(pixels.part(0, 0, 2**62, nodes.op("Reshape", step, nodes.ints([1]))))
    steps = ordered.part(0, 0, -1) - ordered.part(0, 1, 2**62)
    least = nodes.where(steps > 0.0, steps, 3e38).min()
    return nodes.where(least < 3e38, least, 0.0)
