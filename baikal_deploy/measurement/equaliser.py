"""Noise that depends on the signal, made the same everywhere, and back.

A network is told one noise level per plane, and real noise has many. So the surroundings s of each pixel
are put on the scale on which noise is the same everywhere, A(s) = ∫ ds/σ(s), as the generalised Anscombe
transform does, and the pixel's distance from them is scaled to match: z = A(s) + (y − s)/σ(s). Unlike that
transform this is nearly linear in y, and single photons are no trouble. A is stretched so that the
intensities at both ends of the network's scale stay where they are.

In units in which the variance of the noise is the intensity, as that of photons is, σ(s) = √s and
A(s) = 2√s, but for constants, and so z = y/√s + √s: a few steps for each pixel. Where s lies below the
detector's own noise, s is that everywhere in this: A is straight there.

The pixel itself has a share w of its surroundings. So its noise is scaled by itself, and a mean over noise
of gain g comes back darker by w·g/2 (to second order), which ``back`` adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from baikal_deploy.measurement.adaptive_base import OWN, WHOLE, AdaptiveBase, share_of_noise
from baikal_deploy.measurement.intensity import IntensityMap, put_scaled
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.surroundings import Surroundings
from baikal_deploy.pixels.arrays import Planes, Raw
from baikal_deploy.pixels.cells import cell_sums, cells_in, cells_of, strips, whole_cells

LEAST_GROWTH = 3e-3
"""Growth of the variance along the network's scale, times the noise level, from which on float32 is exact to
a few ten-thousandths of the noise."""


@dataclass(frozen=True)
class Equaliser:
    """An equaliser of the noise of some planes.

    Attributes:
        spread: σ(s)/σ, the standard deviation of each pixel's noise over what it is made, (N, H, W).
        offset: what ``back`` adds to what it has spread, (N, H, W).
        level: σ.
        units: in which the noise is that of photons; None: it is the same everywhere already.
    """

    spread: Planes
    offset: Planes
    level: float
    units: Units | None = None

    @classmethod
    def equalised(cls, planes: Raw, noise: NoiseModel, intensity: IntensityMap) -> tuple[Planes, Self]:
        """Planes on the network's scale with the same noise everywhere, and the equaliser that made them.

        That noise has the standard deviation ``noise.even_level(intensity.low, intensity.high)``.

        Args:
            planes: (N, H, W), finite, in raw units.
            noise: in raw units.
            intensity: the map to the network's scale.
        """
        level = noise.even_level(intensity.low, intensity.high) / intensity.half
        if not noise.gain > 0:
            one, nothing = (np.broadcast_to(np.float32(value), planes.shape) for value in (1, 0))
            return intensity.normalise(planes), cls(one, nothing, level)
        units = Units.of(noise, intensity, level)
        even, spread, offset = units.even(planes, share_of_noise(noise))
        return even, cls(spread, offset, level, units)

    def forward(self, planes: Planes) -> Planes:
        """Other planes (N, H, W) on the network's scale, in the place of those that the equaliser is of."""
        units = self.units
        if units is None:
            return planes
        real = units.dtype.type
        even = (planes + real(units.zero)) / self.spread + self.spread / real(units.gain) + real(units.start)
        forward: Planes = even.astype(np.float32, copy=False)
        return forward

    def back(self, planes: Planes, rows: slice = slice(None)) -> Planes:
        """The network's scale again of what was denoised, without its bias.

        Args:
            planes: (N, rows, W), even.
            rows: which of the planes' rows these are.
        """
        uneven = planes * self.spread[:, rows]
        uneven += self.offset[:, rows]
        return uneven


@dataclass(frozen=True)
class Units:
    """Units of intensity in which the variance of noise, over that of the equalised noise, is the intensity.

    Attributes:
        gain: growth of that variance along the network's scale; a unit is ``gain`` on it.
        zero: intensity on the network's scale at which they begin, times −1.
        floor: intensity below which the variance is as it is there.
        level: standard deviation of the equalised noise, on the network's scale.
        raw: a unit in raw units.
        begin: raw intensity at which they begin, times −1.
    """

    gain: float
    zero: float
    floor: float
    level: float
    raw: float
    begin: float

    @classmethod
    def of(cls, noise: NoiseModel, intensity: IntensityMap, level: float) -> Self:
        """The units for noise that depends on the signal; ``level`` is that of the equalised noise."""
        half, even = intensity.half, (level * intensity.half) ** 2
        gain = noise.gain * half / even
        zero = (intensity.low + half + noise.intercept / noise.gain) / half
        return cls(gain, zero, noise.floor / even / gain**2, level, gain * half, noise.intercept / noise.gain)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What intensities are computed in: where noise hardly grows, they are large, and differ little."""
        return np.dtype(np.float32 if self.gain * self.level > LEAST_GROWTH else np.float64)

    @property
    def start(self) -> float:
        """What A adds to 2√s, so that it is −1 at the lower end of the network's scale."""
        low = (self.zero - 1) / self.gain
        least = math.sqrt(max(low, self.floor))
        return -1 - 2 * least + max(self.floor - low, 0) / least

    def even(self, planes: Raw, share: float) -> tuple[Planes, Planes, Planes]:
        """Even planes, and the ``spread`` and ``offset`` of their equaliser; strips of all stay in the cache.

        Args:
            planes: (N, H, W), in raw units.
            share: see ``share_of_noise``.
        """
        counts, around = self._counted(planes)
        base, real = AdaptiveBase.of(counts, around, share * self.level**2), self.dtype.type
        spread, offset = np.empty_like(counts), base.detail  # which is used up strip by strip
        for rows in strips(planes.shape):
            surroundings, weights = base.rows(rows, self.floor)
            self._flatten(surroundings, weights)
            root, even, own = np.sqrt(surroundings, out=surroundings), counts[:, rows], spread[:, rows]
            even /= root
            np.multiply(root, real(self.gain), out=own)
            root += real(self.start)
            even += root
            root *= own
            weights *= real(WHOLE * OWN * self.gain * self.level**2 / 2)
            weights -= real(self.zero)
            np.subtract(weights, root, out=offset[:, rows])
        even, spread, offset = (one.astype(np.float32, copy=False) for one in (counts, spread, offset))
        return even, spread, offset

    def _flatten(self, surroundings: Raw, weights: Raw) -> None:
        """Below the floor the noise is the floor's, and does not depend on the pixel's own."""
        floor = self.dtype.type(self.floor)
        if surroundings.min() <= floor:
            weights *= (surroundings > floor).astype(self.dtype)
            np.clip(surroundings, floor, np.inf, out=surroundings)

    def _counted(self, planes: Raw) -> tuple[Raw, Surroundings]:
        """Planes in these units, and their surroundings."""
        counts, sums = np.empty(planes.shape, self.dtype), np.empty(cells_in(planes.shape), self.dtype)
        for rows in strips(planes.shape):
            own = counts[:, rows]
            put_scaled(planes[:, rows], 1 / self.raw, -self.begin / self.raw, own)
            sums[:, cells_of(rows)] = cell_sums(whole_cells(own, "edge"))
        return counts, Surroundings.of_cells(sums, planes.shape)
