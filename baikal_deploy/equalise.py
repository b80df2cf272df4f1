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
from numpy.typing import NDArray

from baikal_deploy.noise_model import NoiseModel, Raw, base

Planes = NDArray[np.float64]


@dataclass(frozen=True)
class Equaliser:
    """For some planes in raw units.

    Attributes:
        surroundings: s, (N, H, W).
        scale: σ/σ(s), (N, H, W).
        std: σ(s), (N, H, W): the standard deviation of each pixel's noise.
    """

    surroundings: Planes
    scale: Planes
    std: Planes

    @classmethod
    def of(cls, planes: Raw, noise: NoiseModel) -> Self:
        """For planes (N, H, W), finite, whose noise then has the standard deviation ``noise.level``."""
        surroundings = np.stack([base(plane) for plane in planes])
        std = noise.std(surroundings)
        return cls(surroundings, noise.level / std, std)

    def forward(self, planes: Raw) -> Planes:
        """Planes whose noise is the same everywhere."""
        return self.surroundings + (planes - self.surroundings) * self.scale

    def back(self, planes: Raw) -> Planes:
        """The inverse of ``forward``, for what was denoised."""
        return self.surroundings + (planes - self.surroundings) / self.scale
