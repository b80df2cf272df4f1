"""Noise that depends on the signal, made the same everywhere, and back.

A network is told one noise level per plane, and real noise has many. So the surroundings s of each pixel
are put on the scale on which noise is the same everywhere, A(s) = ∫ ds/σ(s), as the generalised Anscombe
transform does, and the pixel's distance from them is scaled to match: z = A(s) + (y − s)/σ(s). Unlike that
transform this is nearly linear in y, and single photons are no trouble. A is stretched so that the
intensities at both ends of the network's scale stay where they are.

The pixel itself has a share w of its surroundings. So its noise is scaled by itself, and a mean over noise
of gain g comes back darker by w·g/2 (to second order), which ``back`` adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.measurement.adaptive_base import AdaptiveBase, share_of_noise
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.arrays import Planes
from baikal_deploy.pixels.cells import strips


@dataclass(frozen=True)
class Equaliser:
    """An equaliser of the noise of some planes.

    Attributes:
        surroundings: s.
        shown: A(s), stretched.
        restored: what ``back`` puts in the place of A(s): s + w·g/2.
        spread: σ(s)/σ, the standard deviation of each pixel's noise over what it is made.
        level: σ.
    """

    surroundings: Planes
    shown: Planes
    restored: Planes
    spread: Planes
    level: float

    @classmethod
    def of(cls, planes: Planes, noise: NoiseModel, intensity: IntensityMap) -> Self:
        """The equaliser of finite planes.

        Their noise then has the standard deviation ``noise.even_level(intensity.low, intensity.high)``.

        Args:
            noise: in raw units.
            intensity: the map that the planes have been through.
        """
        made = cls._empty(planes, scaled := _Scaled.of(noise, intensity))
        for _ in made._strips(planes, scaled):
            pass
        return made

    @classmethod
    def equalised(cls, planes: Planes, noise: NoiseModel, intensity: IntensityMap) -> Self:
        """The equaliser of planes, which are replaced by what ``forward`` makes of them.

        Both at once take less time, since a strip of them stays in a core's cache.

        Args:
            planes: (N, H, W), finite.
            noise, intensity: see ``of``.
        """
        made = cls._empty(planes, scaled := _Scaled.of(noise, intensity))
        for rows in made._strips(planes, scaled):
            planes[:, rows] = made._even(planes, rows)
        return made

    @classmethod
    def _empty(cls, planes: Planes, scaled: _Scaled) -> Self:
        surroundings, shown, restored, spread = (np.empty_like(planes) for _ in range(4))
        return cls(surroundings, shown, restored, spread, scaled.level)

    def _strips(self, planes: Planes, scaled: _Scaled) -> Iterator[slice]:
        """Find surroundings and spread of planes: of all rows up to those that are told."""
        around = AdaptiveBase.of(planes, self.surroundings)  # which are filled row by row below
        for rows in strips(planes.shape):
            surroundings, shares = around.rows(rows, scaled.noise)
            spread = np.sqrt(scaled.variance(surroundings), out=self.spread[:, rows])
            self.shown[:, rows] = scaled.shown(surroundings, spread)
            self.surroundings[:, rows] = surroundings
            np.add(surroundings, scaled.darker(surroundings, shares), out=self.restored[:, rows])
            yield rows

    def forward(self, planes: Planes) -> Planes:
        """Planes (N, H, W) whose noise is the same everywhere."""
        return self._even(planes, slice(None))

    def _even(self, planes: Planes, rows: slice) -> Planes:
        even = planes[:, rows] - self.surroundings[:, rows]
        even /= self.spread[:, rows]
        even += self.shown[:, rows]
        return even

    def back(self, planes: Planes, rows: slice = slice(None)) -> Planes:
        """The inverse of ``forward`` for what was denoised, without its bias.

        Args:
            planes: (N, rows, W).
            rows: which of the planes' rows these are.
        """
        uneven = planes - self.shown[:, rows]
        uneven *= self.spread[:, rows]
        uneven += self.restored[:, rows]
        return uneven


@dataclass(frozen=True)
class _Scaled:
    """A noise model on the network's scale: variances over that of the equalised noise.

    Attributes:
        gain, intercept, floor: var(x) = max(gain·x + intercept, floor).
        level: standard deviation of the equalised noise.
        share: see ``share_of_noise``.
    """

    gain: float
    intercept: float
    floor: float
    level: float
    share: float

    @classmethod
    def of(cls, noise: NoiseModel, intensity: IntensityMap) -> Self:
        half, level = intensity.half, noise.even_level(intensity.low, intensity.high)
        middle = noise.gain * (intensity.low + half) + noise.intercept
        gain, intercept, floor = noise.gain * half / level**2, middle / level**2, noise.floor / level**2
        return cls(gain, intercept, floor, level / half, share_of_noise(noise))

    def noise(self, planes: Planes) -> Planes:
        """Variance of the noise that ``AdaptiveBase`` takes for none, at mean intensities."""
        noise = self.variance(planes)
        noise *= np.float32(self.share * self.level**2)
        return noise

    def variance(self, planes: Planes) -> Planes:
        """Variance (N, H, W) or (H, W) at mean intensities."""
        variance = planes * np.float32(self.gain)
        variance += np.float32(self.intercept)
        np.maximum(variance, np.float32(self.floor), out=variance)
        return variance

    def darker(self, surroundings: Planes, shares: Planes) -> Planes:
        """By how much means over noise come back darker; not where the noise is the floor's.

        Args:
            shares: of the pixels themselves in their surroundings.
        """
        of_photons = surroundings * np.float32(self.gain) > np.float32(self.floor - self.intercept)
        darker: Planes = of_photons * shares * np.float32(self.gain * self.level**2 / 2)
        return darker

    def shown(self, planes: Planes, spread: Planes) -> Planes:
        """A of intensities, stretched so that −1 and 1 stay.

        Args:
            spread: square root of their ``variance``.
        """
        if not self.gain > 0:
            return planes
        # The integral is 2(√v(x) − √v(start))/gain; this form of it cancels nothing where the gain is small.
        knee = (self.floor - self.intercept) / self.gain  # below it the variance is the floor's
        start = max(-1.0, knee)
        least = self.floor**0.5
        at_start = max(self.gain * start + self.intercept, self.floor) ** 0.5
        shown = np.maximum(planes, np.float32(knee))
        shown -= np.float32(start)
        shown *= 2
        shown /= spread + np.float32(at_start)
        shown += np.minimum(planes - np.float32(knee), 0) / np.float32(least)
        shown += np.float32(-1 + (start + 1) / least)
        return shown
