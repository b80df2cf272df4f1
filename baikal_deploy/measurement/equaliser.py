"""Noise that depends on the signal, made the same everywhere, and back.

A network is told one noise level per plane, and real noise has many. So each pixel's distance from its
surroundings is scaled until the noise has one standard deviation, and scaled back in the result:
z = s + (y − s)·σ/σ(s), where s is the plane blurred and σ(s) the noise there. Unlike the generalised Anscombe
transform this leaves the contrast between surroundings as it is, which is what the network has learnt; and it
is linear in y given s, so that no bias needs undoing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import base
from baikal_deploy.pixels.arrays import Planes


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
        surroundings = np.stack([base(plane) for plane in planes])
        half, level = intensity.half, noise.level
        squared = surroundings * np.float32(noise.gain * half / level**2)
        squared += np.float32((noise.gain * (intensity.low + half) + noise.intercept) / level**2)
        np.maximum(squared, np.float32(noise.floor / level**2), out=squared)
        return cls(surroundings, np.sqrt(squared, out=squared), level / half)

    def forward(self, planes: Planes) -> Planes:
        """Planes (N, H, W) whose noise is the same everywhere."""
        even = planes - self.surroundings
        even /= self.spread
        even += self.surroundings
        return even

    def back(self, planes: Planes) -> Planes:
        """The inverse of ``forward``, for what was denoised."""
        uneven = planes - self.surroundings
        uneven *= self.spread
        uneven += self.surroundings
        return uneven
