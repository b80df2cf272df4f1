"""Probes of results: denoised again with a little more noise, and with as much less.

How a result follows is the noise that is left in it. How it follows along with the noise is what its squared
error can be known by without the truth (Stein 1981; Ramani et al. 2008), and so can that of a result that is
fused with its neighbours, as the noise of a frame is independent of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from baikal_deploy.denoising.compared import WIDE, Result, between, cells, filled, structure, window_mean
from baikal_deploy.denoising.fusion import Sides, fuse, sides_of
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.diffusion.random_field import noise_source
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.spectrum import Spectrum, power_of
from baikal_deploy.pixels.arrays import Mask, Plane, Planes, Raw, Values

Denoise = Callable[[Planes], Planes]
"""Planes (N, H, W) on the network's scale -> their results, likewise."""

STEP = 0.1
"""Noise that is added and taken off, over that of the data; with more, a result follows more than it does."""
PROBE_DRAW = 2**33
"""Draw of the probes' noise; far beyond those of the runs and of ``batch.PROBE_DRAW``."""
OUTLIER = 6.0
"""Standard deviations of the noise beyond which noise explains no pixel of the data."""
BLOCK = 32
"""Side, in pixels, of the blocks whose means tell the standard error: what errors share is smaller."""


@dataclass(frozen=True)
class Place:
    """Results at one place of a channel, and of the planes beside it.

    Attributes:
        data: the noisy plane, (H, W), on the network's scale.
        own: its result; not finite where it holds none.
        sides: results of its neighbours.
    """

    data: Plane
    own: Plane
    sides: Sides


@dataclass(frozen=True)
class Seen:
    """A place whose result was probed.

    Attributes:
        place: the place.
        recipe: of the channel.
        noise: the noise of the probe, (H, W), of the standard deviation of that of the data.
        more, less: results with STEP of it added and taken off, (H, W).
    """

    place: Place
    recipe: Recipe
    noise: Plane
    more: Plane
    less: Plane

    @classmethod
    def of(cls, place: Place, recipe: Recipe, denoise: Denoise, number: int) -> Self:
        """Probe a place.

        Args:
            place: the place.
            recipe: of the channel.
            denoise: the way in which its planes are denoised.
            number: of the place, which decides on the noise.

        Raises:
            EngineError: the network failed.
        """
        shape, variance = place.own.shape, recipe.variance(filled(place.own))
        white = noise_source(0, [number], shape, like=np.empty((), np.float32))(0, PROBE_DRAW)[0, 0]
        noise = drawn(recipe.spectrum, white) * np.sqrt(variance) / np.float32(recipe.spectrum.std)
        step = np.float32(STEP) * noise
        more, less = denoise(np.stack([place.data + step, place.data - step]))
        return cls(place, recipe, noise, more, less)

    @cached_property
    def variance(self) -> Plane:
        """Variance of the noise, (H, W)."""
        return self.recipe.variance(filled(self.place.own))

    @property
    def counted(self) -> Mask:
        """Pixels with results, whose data noise explains, (H, W)."""
        known = known_in(self.place.own, self.more, self.less)
        distance = np.where(known, self.place.own, 0) - self.place.data
        counted: Mask = known & (np.abs(distance) < OUTLIER * np.sqrt(self.variance))
        return counted

    @property
    def left(self) -> float:
        """Variance of the noise that is left in a result, over that of the noise."""
        squares = np.square(self.more - self.less) / np.float32(4 * STEP**2)
        whole = self._blocks(self.variance).mean()
        return float(self._blocks(squares).mean() / whole) if whole > 0 else 0.0

    @property
    def coarse(self) -> float:
        """Share of that variance which is left in the mean over a wide window."""
        means, whole = np.square(window_mean(self.left_over, WIDE)).mean(), np.square(self.left_over).mean()
        return float(means / whole) if whole > 0 else 1.0

    @property
    def left_over(self) -> Plane:
        """Noise as it is left in a result, (H, W); 0 where a pixel does not count."""
        return np.where(self.counted, (self.more - self.less) / np.float32(2 * STEP), 0)

    @property
    def by_structure(self) -> tuple[Plane, Plane, Plane]:
        """Of each cell: structure around it, variance of the noise left, and of the noise; (3, cells)."""
        whole = cells(self.counted.astype(np.float32)) == 1
        noise = cells(self.variance)
        around = structure(filled(self.place.own), noise)
        return around[whole], cells(np.square(self.left_over))[whole], noise[whole]

    def expected_error(self) -> Values:
        """Squared error of a posterior mean that follows the noise so (Efron 2011, Tweedie), by blocks."""
        return self._blocks(self._followed(self.more, self.less))

    def ready(self, gate: Gate) -> Ready:
        """The place's results, ready to be fused.

        Args:
            gate: what is left of the noise.
        """

        def result(plane: Plane) -> Result:
            return Result.of(plane, self.recipe.variance(filled(plane)), gate)

        sides = {
            axis: [[result(plane) for plane in side] for side in both]
            for axis, both in self.place.sides.items()
        }
        return Ready(self, result(self.place.own), result(self.more), result(self.less), sides)

    def change(self, fused: Plane, more: Plane, less: Plane, unknown: Plane) -> Values:
        """Estimate of what fusion adds to the squared error of the result, by blocks.

        Args:
            fused, more, less: the result, and those of the probe, fused with the neighbours.
            unknown: estimate of how much fusion takes off the variance of noise that the probes do not know,
                of each pixel.
        """
        own, data = self.place.own, self.place.data
        moved = fused - own
        followed = self._followed(more, less) - self._followed(self.more, self.less)
        return self._blocks(moved * (moved + 2 * (own - data)) + 2 * (followed - unknown))

    def _followed(self, more: Plane, less: Plane) -> Plane:
        """Estimate of the product of a result and the noise, (H, W)."""
        followed: Plane = self.noise * (more - less) * np.float32(0.5 / STEP)
        return followed

    def _blocks(self, values: Raw) -> Values:
        """Means over blocks of the pixels that count; others are 0."""
        inside = np.where(self.counted, values, 0)
        rows, columns = (range(0, side, BLOCK) for side in values.shape)
        return np.array(
            [inside[y : y + BLOCK, x : x + BLOCK].mean(dtype=np.float64) for y in rows for x in columns]
        )


@dataclass(frozen=True)
class Ready:
    """A place whose results are ready to be fused.

    Attributes:
        seen: the place.
        own, more, less: its results.
        sides: those of its neighbours, by axis.
    """

    seen: Seen
    own: Result
    more: Result
    less: Result
    sides: Mapping[str, Sequence[Sequence[Result]]]

    def change(self, gate: Gate, unknown: float = 0.0) -> Values:
        """Estimate of what fusion adds to the squared error of the result, by blocks.

        Args:
            gate: that decides on the weights.
            unknown: variance of noise in the result that the probes do not know, over that of what is left.
        """
        sides = sides_of(gate, self.sides)
        fused, more, less = (fuse(result, sides) for result in (self.own, self.more, self.less))
        rest = (1 - fused.share) * between(self.own.left, fused.share.shape) * np.float32(unknown)
        return self.seen.change(fused.plane, more.plane, less.plane, rest)


def drawn(spectrum: Spectrum, white: Plane) -> Plane:
    """Noise of a spectrum.

    Args:
        spectrum: of the noise.
        white: standard normal, (H, W).
    """
    if spectrum.is_white:
        return white * np.float32(spectrum.std)
    amplitude = np.sqrt(power_of(spectrum.covariance(spectrum.reach), white.shape))
    noise: Plane = np.fft.ifft2(np.fft.fft2(white) * amplitude).real.astype(np.float32)
    return noise


def known_in(*planes: Plane) -> Mask:
    """Pixels at which all of some planes hold a result, (H, W)."""
    known: Mask = np.logical_and.reduce([np.isfinite(plane) for plane in planes])
    return known
