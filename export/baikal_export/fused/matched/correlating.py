"""``find_correlation`` as nodes: how strong noise is at every frequency, from what is dark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.bands import ERRORS, GRID, HIGH, high_bands, radius, ring
from baikal_deploy.measurement.correlation import (
    BROAD,
    CERTAIN,
    CERTAINLY_BROAD,
    FAR,
    LOW,
    LOWEST,
    PATCHY,
    PEAK,
    PROBE,
    STRONG,
    SUSPECT,
    UNLIKE,
)
from baikal_deploy.measurement.spectrum import REACH, tapered
from baikal_export.fused.matched.residuals import Dark, Residual
from baikal_export.fused.matched.sorting import falling, percentile
from baikal_export.fused.matched.spectrum import KERNEL_SIDE, Correlation
from baikal_export.fused.matched.transforms import covariance_of, power_of
from baikal_export.fused.nodes import Term, Value, any_of

_SIDE = GRID[0]
_DIGITS = 1e4
"""Kernel and lines are rounded to so many parts, as ``find_correlation`` does."""


@dataclass(frozen=True)
class Search:
    """A search for correlation.

    Attributes:
        dark: the dark pixels.
        seen: the planes there, less their background, over the noise's standard deviation.
        removed: see ``correlation.Removed``.
    """

    dark: Dark
    seen: Residual
    removed: Callable[[Term], Value]

    @property
    def is_suspect(self) -> Value:
        """Whether noise may be correlated."""
        signs = self._is_uneven(self.seen, SUSPECT), self.seen.has_lines, _broadness(self.seen) > BROAD
        return self.dark.are_enough & any_of(signs)

    def found(self, certain: Callable[[Correlation], list[Value]], white: list[Value]) -> list[Value]:
        """What follows from the correlation, or what is so without any.

        Args:
            certain: makes values of the correlation that was found.
            white: the same where there is none.
        """
        fine = self.dark.residual(self.removed(PROBE))
        nodes, uneven = fine.rows.nodes, self._is_uneven(fine, CERTAIN)
        may_be_broad = (_broadness(self.seen) > BROAD) & nodes.op("Not", uneven)
        broad = nodes.either(may_be_broad, self._is_broad_noise, lambda: [nodes.constant(0.0)])[0] > 0.0
        is_certain = any_of([uneven, fine.has_lines, broad])
        return nodes.either(is_certain, lambda: certain(self._settled(fine, broad)), lambda: white)

    def _is_broad_noise(self) -> list[Value]:
        """1 where what is removed at FAR times the level is broad noise, and not fibres, else 0."""
        removed = self.removed(FAR)
        found = _broadness(self.dark.residual(removed))
        even = (found > BROAD) & (self.dark.patchiness(removed) < PATCHY)
        return [any_of([found > CERTAINLY_BROAD, even]).float()]

    def _settled(self, fine: Residual, broad: Value) -> Correlation:
        lines = fine
        power = _credible(_power(self.seen, fine), _power(fine, fine), broad)
        for _ in range(2):
            level = percentile(falling(power.flat())[0], PEAK).at_least(1.0).sqrt() * STRONG
            lines = self.dark.residual(self.removed(level))
            seen, held = _power(self.seen, lines), _power(lines, lines)
            power = _credible(seen.at_most(held), held, broad)
            power = _where(radius() < LOWEST, power.at_least(_mean(power, ring(LOWEST))), power)
        return _correlation(power, lines)

    def _is_uneven(self, left: Residual, ratio: float) -> Value:
        """See ``bands.is_uneven``."""
        power = _tapered_power(left.covariance)
        means = [_mean(power, band) for band in high_bands()]
        share = min(float(band.mean()) for band in high_bands())
        error = (4.0 / (self.dark.count * share).at_least(1.0)).sqrt()
        least, most = _least(means), _most(means)
        return (least > 0.0) & (most > least * (error * ERRORS + ratio))


def _broadness(left: Residual) -> Value:
    """See ``bands.broadness``."""
    power = _tapered_power(left.covariance)
    weakest = _least([_mean(power, band) for band in high_bands()])
    return _mean(power, (radius() > 0.12) & (radius() < 0.18)) / weakest.at_least(1e-9)


def _correlation(power: Value, lines: Residual) -> Correlation:
    """See ``correlation._correlation``."""
    nodes, covariance = power.nodes, covariance_of(power, REACH, _SIDE)
    variance = covariance.taken(0, nodes.ints(REACH)).taken(0, nodes.ints(REACH))
    kernel = _rounded(covariance / variance)
    peak = _tapered_power(covariance + _on_lines(lines))
    raised = percentile(falling(peak.flat())[0], PEAK).sqrt()
    rows, columns = (_rounded(line / variance) for line in (lines.rows, lines.columns))
    std = (variance * (rows + columns + 1.0)).sqrt()
    return Correlation(std, raised, rows, columns, kernel)


def _rounded(value: Value) -> Value:
    return value.nodes.op("Round", value * _DIGITS) * (1 / _DIGITS)


def _power(left: Residual, lines: Residual) -> Value:
    """Power without that of lines."""
    return _tapered_power(left.covariance - _on_lines(lines))


def _tapered_power(covariance: Value) -> Value:
    weights = covariance.nodes.constant(tapered(np.ones((KERNEL_SIDE, KERNEL_SIDE))))
    return power_of(covariance * weights, REACH, _SIDE).at_least(0.0)


def _on_lines(lines: Residual) -> Value:
    """What lines add to an autocovariance."""
    nodes = lines.rows.nodes
    row = np.zeros((KERNEL_SIDE, KERNEL_SIDE))
    row[REACH] = 1
    return lines.rows * nodes.constant(row) + lines.columns * nodes.constant(row.T)


def _credible(power: Value, fine: Value, broad: Value) -> Value:
    """See ``correlation._credible``."""
    nodes = power.nodes
    y, x = (np.abs(np.fft.fftfreq(side)) > HIGH for side in GRID)
    weights_x, weights_y = nodes.constant(x[:, None] / x.sum()), nodes.constant(y[None] / y.sum())
    along_y, along_x = nodes.op("MatMul", fine, weights_x), nodes.op("MatMul", weights_y, fine)
    expected = along_y * along_x / _mean(fine, np.outer(y, x)).at_least(1e-9)
    bands = [_mean(fine, band) for band in high_bands()]
    middle = _mean(fine, (radius() > LOW) & (radius() < 0.3))
    uneven = _most([*bands, middle]) / _least(bands).at_least(1e-9)
    margin = (uneven - 1.0) * (uneven - 1.0) + 1.0
    bounded = _where(radius() < LOW, power.at_most(expected * margin), power)
    return nodes.where(any_of([broad, uneven > UNLIKE]), power, bounded)


def _mean(power: Value, band: NDArray[np.bool_]) -> Value:
    return (power * power.nodes.constant(band / band.sum())).sum()


def _where(band: NDArray[np.bool_], one: Value, other: Value) -> Value:
    return one.nodes.where(one.nodes.constant(band, np.bool_), one, other)


def _least(values: list[Value]) -> Value:
    return values[0].nodes.op("Min", *values)


def _most(values: list[Value]) -> Value:
    return values[0].nodes.op("Max", *values)
