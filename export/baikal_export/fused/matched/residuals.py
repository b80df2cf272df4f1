"""Residuals of noise as nodes: their autocovariance in the dark, and what lines of pixels share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from baikal_deploy.measurement.bands import ERRORS, FEWEST_PATCHES, PATCH
from baikal_deploy.measurement.correlation import (
    BACKGROUND_SIGMA,
    DARK,
    FEWEST,
    LEAST_LINES,
    NEAR,
)
from baikal_deploy.measurement.spectrum import LINE_REACH, REACH
from baikal_deploy.pixels.cells import CELL
from baikal_export.fused.matched.sorting import falling, percentile
from baikal_export.fused.matched.surroundings import (
    COLUMNS,
    ROWS,
    base_of,
    between_cells,
    blurred,
    cell_means,
    gaussian,
)
from baikal_export.fused.nodes import Value

_BESIDE = 2
"""Rows on either side of a line that it is compared with."""


@dataclass(frozen=True)
class Residual:
    """What is left of planes in the dark.

    Attributes:
        covariance: (2·REACH + 1, 2·REACH + 1).
        rows, columns: covariance of pixels far apart in one, see ``correlation._lines``; scalars.
    """

    covariance: Value
    rows: Value
    columns: Value

    @property
    def has_lines(self) -> Value:
        return self.rows + self.columns > 0.0


@dataclass(frozen=True)
class Dark:
    """The darkest pixels of planes.

    Attributes:
        mask: 1 there, else 0, (N, 1, H, W).
        pairs: numbers of pairs of dark pixels; see ``_products``.
    """

    mask: Value
    pairs: list[Value]

    @classmethod
    def of(cls, base: Value) -> Self:
        """Those of planes with a ``base``; see ``correlation.dark_pixels``."""
        around = base_of(base)
        mask = (around <= percentile(falling(around.flat())[0], DARK)).float()
        return cls(mask, _products(mask))

    @property
    def count(self) -> Value:
        """Number of pixels."""
        return self.mask.sum()

    @property
    def are_enough(self) -> Value:
        return self.count >= float(FEWEST)

    def background(self, planes: Value) -> Value:
        """See ``correlation.background``."""
        weights = gaussian(BACKGROUND_SIGMA / CELL, truncate=2)
        total, share = (
            blurred(cell_means(values, "constant"), weights) for values in (planes * self.mask, self.mask)
        )
        return between_cells(total / share.at_least(1e-9 / CELL**2), planes)

    def patchiness(self, values: Value) -> Value:
        """See ``bands.patchiness``; squares beyond the last whole ones count for nothing."""
        nodes, masked = values.nodes, values * self.mask
        band = blurred(masked, gaussian(1)) - blurred(masked, gaussian(2))
        counts, sums = (_squares(one) for one in (self.mask, self.mask * band * band))
        told = (counts >= 0.5).float()
        power, number = sums / counts.at_least(1e-9) * told, told.sum()
        mean = power.sum() / number.at_least(1.0)
        spread = ((power - mean) * (power - mean) * told).sum() / number.at_least(1.0)
        return nodes.where(number >= float(FEWEST_PATCHES), spread.sqrt() / mean.at_least(1e-30), 3e38)

    def residual(self, values: Value) -> Residual:
        """What values (N, 1, H, W) tell in the dark."""
        nodes, axes = values.nodes, values.nodes.ints([1, 2, 3])
        total, count = (nodes.op("ReduceSum", one, axes) for one in (values * self.mask, self.mask))
        centred = (values - total / count.at_least(1.0)) * self.mask
        products = zip(_products(centred), self.pairs, strict=True)
        near, rows, columns = (total / pairs.at_least(1.0) for total, pairs in products)
        return Residual(near, _line(rows, self.pairs[1]), _line(columns, self.pairs[2]))


def _squares(planes: Value) -> Value:
    """Means over whole squares of PATCH pixels, of which planes get at least one."""
    nodes = planes.nodes
    missing = [(nodes.ints(PATCH) - planes.side(axis)).at_least(nodes.ints(0)) for axis in (ROWS, COLUMNS)]
    shaped = [nodes.op("Reshape", one, nodes.ints([1])) for one in missing]
    whole = nodes.op("Pad", planes, nodes.op("Concat", nodes.ints([0] * 6), *shaped, axis=0))
    return nodes.op("AveragePool", whole, kernel_shape=[PATCH, PATCH], strides=[PATCH, PATCH])


def _products(values: Value) -> list[Value]:
    """Sums of the products of all pixels at each distance: of neighbours, in rows, and in columns.

    Neighbours are REACH apart at most, and pixels of rows LINE_REACH, in _BESIDE rows on either side; columns
    are made rows, since a convolution takes long with a kernel whose results are narrow.
    """
    nodes = values.nodes
    planes, turned = (nodes.op("Transpose", values, perm=perm) for perm in ([1, 0, 2, 3], [1, 0, 3, 2]))
    spans = (planes, (REACH, REACH)), (planes, (_BESIDE, LINE_REACH)), (turned, (_BESIDE, LINE_REACH))
    products = (nodes.op("Conv", one, one, pads=[*reach, *reach]) for one, reach in spans)
    return [nodes.op("Squeeze", one, nodes.ints([0, 1])) for one in products]


def _line(covariance: Value, pairs: Value) -> Value:
    """See ``correlation._line``: its arguments are of pixels in up to _BESIDE rows, LINE_REACH apart."""
    nodes = covariance.nodes
    far = [one.part(1, LINE_REACH + NEAR, 2**62) for one in (covariance, pairs)]
    totals = nodes.op("ReduceSum", far[0] * far[1], nodes.ints([1]), keepdims=0)
    counts = nodes.op("ReduceSum", far[1], nodes.ints([1]), keepdims=0)
    means = totals / counts.at_least(1.0)
    above, same, below = (means.taken(0, nodes.ints(row)) for row in (0, _BESIDE, 2 * _BESIDE))
    excess = same - (above + below) * 0.5
    row = covariance.taken(0, nodes.ints(_BESIDE))
    variance = row.taken(0, nodes.ints(LINE_REACH))
    near = row.part(0, LINE_REACH - REACH, LINE_REACH + REACH + 1) / variance.at_least(1e-9)
    error = variance * (near * near).sum() * (1.5 / counts.taken(0, nodes.ints(_BESIDE)).at_least(1.0)).sqrt()
    least = (variance * LEAST_LINES).at_least(error * ERRORS)
    return nodes.where(excess > least, excess, 0.0)
