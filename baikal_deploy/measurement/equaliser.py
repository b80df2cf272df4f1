"""Noise that depends on the signal, made the same everywhere, and back.

A network is told one noise level per plane, and real noise has many. So each pixel's distance from its
surroundings is scaled until the noise has one standard deviation, and scaled back in the result:
z = s + (y − s)·σ/σ(s), where s is the plane blurred and σ(s) the noise there. Unlike the generalised Anscombe
transform this leaves the contrast between surroundings as it is, which is what the network has learnt; and it
is linear in y given s, so that no bias needs undoing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import Surroundings
from baikal_deploy.pixels.arrays import Planes
from baikal_deploy.pixels.cells import strips


@dataclass(frozen=True)
class Equaliser:
    """An equaliser of the noise of some planes.

    Attributes:
        surroundings: s.
        spread: σ(s)/σ, the standard deviation of each pixel's noise over what it is made.
        level: σ.
    """

    surroundings: Planes
    spread: Planes
    level: float

    @classmethod
    def of(cls, planes: Planes, noise: NoiseModel, intensity: IntensityMap) -> Self:
        """The equaliser of finite planes, whose noise then has the standard deviation ``noise.level``.

        Args:
            noise: in raw units.
            intensity: the map that the planes have been through.
        """
        made = cls(np.empty_like(planes), np.empty_like(planes), noise.level / intensity.half)
        for _ in made._strips(planes, noise, intensity):
            pass
        return made

    @classmethod
    def equalised(cls, planes: Planes, noise: NoiseModel, intensity: IntensityMap) -> Self:
        """The equaliser of planes, which are replaced by what ``forward`` makes of them.

        Both at once take half the time, since all of it happens in a core's cache.

        Args:
            planes: (N, H, W), finite.
            noise, intensity: see ``of``.
        """
        made = cls(np.empty_like(planes), np.empty_like(planes), noise.level / intensity.half)
        for rows in made._strips(planes, noise, intensity):
            planes[:, rows] = made._even(planes, rows)
        return made

    def forward(self, planes: Planes) -> Planes:
        """Planes (N, H, W) whose noise is the same everywhere."""
        return self._even(planes, slice(None))

    def back(self, planes: Planes, rows: slice = slice(None)) -> Planes:
        """The inverse of ``forward``, for what was denoised.

        Args:
            planes: (N, rows, W).
            rows: which of the planes' rows these are.
        """
        surroundings = self.surroundings[:, rows]
        uneven = planes - surroundings
        uneven *= self.spread[:, rows]
        uneven += surroundings
        return uneven

    def _even(self, planes: Planes, rows: slice) -> Planes:
        surroundings = self.surroundings[:, rows]
        even = planes[:, rows] - surroundings
        even /= self.spread[:, rows]
        even += surroundings
        return even

    def _strips(self, planes: Planes, noise: NoiseModel, intensity: IntensityMap) -> Iterator[slice]:
        """Find surroundings and spread of planes: of all rows up to those that are told."""
        around, half, variance = Surroundings.of(planes), intensity.half, noise.level**2
        slope = np.float32(noise.gain * half / variance)
        offset = np.float32((noise.gain * (intensity.low + half) + noise.intercept) / variance)
        least = np.float32(noise.floor / variance)
        for rows in strips(planes.shape):
            spread = self.spread[:, rows]
            np.multiply(around.rows(rows, self.surroundings[:, rows]), slope, out=spread)
            spread += offset
            np.maximum(spread, least, out=spread)
            np.sqrt(spread, out=spread)
            yield rows
