"""``Equaliser`` as nodes: noise that depends on the signal, made the same everywhere, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from baikal_deploy.measurement.adaptive_base import share_of_lines, shares_of_lags
from baikal_deploy.measurement.bright import BRIGHTEST_TRAINED, NOISE
from baikal_deploy.measurement.spectrum import REACH
from baikal_export.fused.matched.spectrum import Correlation
from baikal_export.fused.matched.surroundings import around
from baikal_export.fused.nodes import Value

_SHARES = shares_of_lags(REACH)
_LEAST_VARIANCE = 1e-30


@dataclass(frozen=True)
class Measured:
    """What is known of a channel, in raw units, each a scalar of the graph.

    Attributes:
        low, high: see ``IntensityMap``.
        gain, intercept, floor: see ``NoiseModel``.
        correlation: how pixels share the noise.
    """

    low: Value
    high: Value
    gain: Value
    intercept: Value
    floor: Value
    correlation: Correlation

    @classmethod
    def of(cls, values: list[Value]) -> Self:
        """What ``values`` told."""
        low, high, gain, intercept, floor, *shared = values
        return cls(low, high, gain, intercept, floor, Correlation.of(shared))

    @property
    def values(self) -> list[Value]:
        """All that is known, in the order of the fields."""
        own = [self.low, self.high, self.gain, self.intercept, self.floor]
        return [*own, *self.correlation.values]

    @property
    def half(self) -> Value:
        """See ``IntensityMap.half``; 1 where there is no range."""
        return self.low.nodes.where(self.high > self.low, (self.high - self.low) * 0.5, 1.0)

    @property
    def least(self) -> Value:
        """The floor; greater than 0, since the graph divides by it."""
        return self.floor.at_least(_LEAST_VARIANCE)

    @property
    def slope(self) -> Value:
        """The gain, or where it is 0 something to divide by."""
        return self.gain.nodes.where(self.gain > 0.0, self.gain, 1.0)

    def std(self, intensity: Value) -> Value:
        """See ``NoiseModel.std``."""
        return (self.gain * intensity + self.intercept).at_least(self.least).sqrt()

    def even_level(self) -> Value:
        """See ``NoiseModel.even_level``; in a form that cancels nothing, since this is float32."""
        knee = (self.least - self.intercept) / self.slope
        low, high = self.low.at_least(knee), self.high.at_least(knee)
        dark = (self.high.at_most(knee) - self.low.at_most(knee)) / self.least.sqrt()
        steps = dark + (high - low) * 2.0 / (self.std(high) + self.std(low))
        depends = (self.gain > 0.0) & (self.high > self.low)
        return self.gain.nodes.where(depends, (self.high - self.low) / steps, self.std(self.low))

    def ceiling(self) -> Value:
        """See ``bright.ceiling``."""
        brightest = self.low + (BRIGHTEST_TRAINED + 1) * self.half
        return brightest + NOISE * self.std(brightest)


@dataclass(frozen=True)
class Equalised:
    """Planes whose noise is the same everywhere, and what leads back; see ``Equaliser``.

    Attributes:
        even: the planes, on the network's scale.
        level: of their noise, on that scale.
        shown, restored, spread: see ``Equaliser``.
        depends: whether the noise depends on the signal; if not, the planes are as they were.
    """

    even: Value
    level: Value
    shown: Value
    restored: Value
    spread: Value
    depends: Value

    @classmethod
    def of(cls, planes: Value, found: Measured) -> Self:
        """Equalise planes (N, 1, H, W), which are on the network's scale."""
        where, scaled = planes.nodes.where, _Scaled.of(found)
        surroundings, shares = around(planes, lambda base: scaled.variance(base) * scaled.base_share)
        spread = scaled.variance(surroundings).sqrt()
        shown = scaled.shown(surroundings, spread)
        restored = surroundings + scaled.darker(surroundings, shares)
        depends = found.gain > 0.0
        even = where(depends, (planes - surroundings) / spread + shown, planes)
        return cls(even, scaled.level, shown, restored, spread, depends)

    def back(self, x0: Value) -> Value:
        """See ``Equaliser.back``."""
        return x0.nodes.where(self.depends, (x0 - self.shown) * self.spread + self.restored, x0)


@dataclass(frozen=True)
class _Scaled:
    """``equaliser._Scaled`` as scalars of the graph."""

    gain: Value
    intercept: Value
    floor: Value
    level: Value
    share: Value

    @classmethod
    def of(cls, found: Measured) -> Self:
        even, half = found.even_level(), found.half
        square = (even * even).at_least(_LEAST_VARIANCE)
        middle = found.slope * (found.low + half) + found.intercept
        share = _share_of_noise(found.correlation)
        return cls(found.slope * half / square, middle / square, found.least / square, even / half, share)

    @property
    def base_share(self) -> Value:
        return self.level * self.level * self.share

    def variance(self, planes: Value) -> Value:
        return (planes * self.gain + self.intercept).at_least(self.floor)

    def darker(self, surroundings: Value, shares: Value) -> Value:
        of_photons = surroundings * self.gain > self.floor - self.intercept
        return of_photons.float() * shares * (self.gain * self.level * self.level * 0.5)

    def shown(self, planes: Value, spread: Value) -> Value:
        knee = (self.floor - self.intercept) / self.gain
        start, least = knee.at_least(-1.0), self.floor.sqrt()
        at_start = self.variance(start).sqrt()
        bright = (planes.at_least(knee) - start) * 2.0 / (spread + at_start)
        dark = (planes - knee).at_most(0.0) / least
        return bright + dark + ((start + 1.0) / least - 1.0)


def _share_of_noise(correlation: Correlation) -> Value:
    """See ``adaptive_base.share_of_noise``."""
    lines = correlation.rows + correlation.columns
    own = (correlation.kernel * correlation.kernel.nodes.constant(_SHARES)).sum()
    return correlation.std * correlation.std * (own + lines * share_of_lines()) / (lines + 1.0)
