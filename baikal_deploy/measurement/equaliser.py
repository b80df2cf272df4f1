"""Noise that depends on the signal, made the same everywhere, and back.

A network is told one noise level per plane, and real noise has many. So the surroundings s of each pixel
are put on the scale on which noise is the same everywhere, A(s) = ∫ ds/σ(s), as the generalised Anscombe
transform XX"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.measurement.adaptive_base import adaptive_base, share_of_noise
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import base
from baikal_deploy.pixels.arrays import Plane, Planes


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
        scaled = _Scaled.of(noise, intensity)
        surroundings, shares = (
            np.stack(parts) for parts in zip(*map(scaled.surroundings, planes), strict=True)
        )
        spread = np.sqrt(scaled.variance(surroundings))
        shown = scaled.shown(surroundings, spread)
        return cls(
            surroundings, shown, surroundings + scaled.darker(surroundings, shares), spread, scaled.level
        )

    def forward(self, planes: Planes) -> Planes:
        """Planes (N, H, W) whose noise is the same everywhere."""
        even = planes - self.surroundings
        even /= self.spread
        even += self.shown
        return even

    def back(self, planes: Planes) -> Planes:
        """The inverse of ``forward`` for what was denoised, without its bias."""
        uneven = planes - self.shown
        uneven *= self.spread
        uneven += self.restored
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

    def surroundings(self, plane: Plane) -> tuple[Plane, Plane]:
        """s of a plane (H, W), and the share of the pixel itself in it."""
        around = base(plane)
        noise = self.variance(around) * np.float32(self.share * self.level**2)
        return adaptive_base(plane, noise, around)

    def variance(self, planes: Planes) -> Planes:
        """Variance (N, H, W) or (H, W) at mean intensities."""
        variance = planes * np.float32(self.gain)
        variance += np.float32(self.intercept)
        return np.maximum(variance, np.float32(self.floor), out=variance)

    def darker(self, surroundings: Planes, shares: Planes) -> Planes:
        """By how much means over noise come back darker; not where the noise is the floor's.

        Args:
            shares: of the pixels themselves in their surroundings.
        """
        of_photons = surroundings * np.float32(self.gain) > np.float32(self.floor - self.intercept)
        return of_photons * shares * np.float32(self.gain * self.level**2 / 2)

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
