"""What a channel's results tell of each other: how far neighbours may differ, and what fusing them brings.

Both are told by a few places of the data, whose results are probed: their planes are denoised again with a
little more noise of the measured spectrum, and with as much less. How a result follows is the noise that is
left in it. How it follows along with the noise is what its squared error can be known by without the truth
(Stein 1981; Ramani et al. 2008), and so can that of the fused result, as the noise of a frame is independent
of its neighbours'. What the model does not know, and what moves too far from plane to plane, makes that error
grow, and the gate stays closed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.fusion import Sides, filled, gated, mean_square, window_mean
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.diffusion.random_field import noise_source
from baikal_deploy.measurement.gate import NEIGHBOURS, Fuse, Gate
from baikal_deploy.measurement.spectrum import Spectrum, power_of
from baikal_deploy.pixels.arrays import Mask, Plane, Planes, Raw, Values

Denoise = Callable[[Planes], Planes]
"""Planes (N, H, W) on the network's scale -> their results, likewise."""

OPENINGS = {"t": (0.5, 1.0, 1.5, 2.0), "z": (0.5, 0.75, 1.0, 1.5)}
"""Factors on the standard deviation of what noise is left, of which the best is taken: larger ones average
more, and lose more of what flashes up."""
MOST_RAISED = 4.0
"""Most that the standard deviation is raised by what results of the data differ by."""
STEP = 0.3
"""Noise that is added and taken off, over that of the data; see ``trust.STEP``."""
PROBE_DRAW = 2**33
"""Draw of the probes' noise; far beyond those of the runs and of ``batch.PROBE_DRAW``."""
OUTLIER = 6.0
"""Standard deviations of the noise beyond which noise explains no pixel of the data."""
CERTAIN = 2.0
"""Standard errors by which fusion must lessen the error to be used."""
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
        variance: of the noise, (H, W).
        noise: the noise of the probe, (H, W), of the standard deviation of that of the data.
        more, less: results with STEP of it added and taken off, (H, W).
    """

    place: Place
    variance: Plane
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
        return cls(place, variance, noise, more, less)

    @property
    def counted(self) -> Mask:
        """Pixels with results, whose data noise explains, (H, W)."""
        known = _known(self.place.own, self.more, self.less)
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
        """Share of that variance which is left in the mean over a window."""
        difference = np.where(self.counted, self.more - self.less, 0)
        means, whole = np.square(window_mean(difference)).mean(), np.square(difference).mean()
        return float(means / whole) if whole > 0 else 1.0

    def expected_error(self) -> Values:
        """Squared error of a posterior mean that follows the noise so (Efron 2011, Tweedie), by blocks."""
        return self._blocks(self._followed(self.more, self.less))

    def change(self, gate: Gate) -> Values:
        """Estimate of what fusion adds to the squared error of the result, by blocks.

        Args:
            gate: that decides on the weights.
        """
        own, data = self.place.own, self.place.data
        fused, more, less = (
            gated(gate, result, self.place.sides, self.variance)[0] for result in (own, self.more, self.less)
        )
        moved = fused - own
        followed = self._followed(more, less) - self._followed(self.more, self.less)
        return self._blocks(moved * (moved + 2 * (own - data)) + 2 * followed)

    def _followed(self, more: Plane, less: Plane) -> Plane:
        """Estimate of the product of a result and the noise, (H, W)."""
        followed: Plane = self.noise * (more - less) / np.float32(2 * STEP)
        return followed

    def _blocks(self, values: Raw) -> Values:
        """Means over blocks of the pixels that count; others are 0."""
        inside = np.where(self.counted, values, 0)
        rows, columns = (range(0, side, BLOCK) for side in values.shape)
        return np.array(
            [inside[y : y + BLOCK, x : x + BLOCK].mean(dtype=np.float64) for y in rows for x in columns]
        )


def unfused(denoiser: Denoiser, recipe: Recipe, planes: Raw) -> Planes:
    """Results of planes on the network's scale, NaN where they hold none.

    Args:
        denoiser: the model.
        recipe: of the planes' channel.
        planes: (N, H, W) in raw units.

    Raises:
        EngineError: the network failed.
    """
    wanted = Wanted(np.float32, guard=False, unfused=True)
    found: Planes = denoiser.run(recipe, Stack(planes, range(len(planes))), wanted=wanted).planes
    return found


def measure_gate(denoiser: Denoiser, recipe: Recipe, places: Sequence[Place], axes: Fuse) -> Gate:
    """Gate of a channel.

    Args:
        denoiser: the model.
        recipe: of the channel.
        places: some of it; a handful is enough.
        axes: along which results are to be fused.

    Raises:
        EngineError: the network failed.
    """

    def denoise(planes: Planes) -> Planes:
        return unfused(denoiser, recipe, recipe.measurement.intensity.raw(planes))

    seen = [Seen.of(place, recipe, denoise, number) for number, place in enumerate(places)]
    if not seen:
        return Gate.closed(axes)
    gate = replace(
        Gate.closed(axes), left=_mean(one.left for one in seen), coarse=_mean(one.coarse for one in seen)
    )
    for axis in axes:
        share = raised(seen, gate.left) if axis == "t" else gate.left
        choices = [
            replace(gate, allowed={**gate.allowed, axis: factor**2 * share}) for factor in OPENINGS[axis]
        ]
        gate = min([gate, *choices], key=lambda choice: _change(choice, seen))
    return replace(gate, gain=_gain(gate, seen))


def measure_stream_gate(denoiser: Denoiser, recipe: Recipe, frames: Sequence[Raw]) -> Gate:
    """Gate of a stream, of which frames before one are known, and none after it.

    Args:
        denoiser: the model.
        recipe: of the stream.
        frames: some of it, (H, W) each, in raw units; they need not follow each other.

    Raises:
        EngineError: the network failed.
    """
    intensity = recipe.measurement.intensity

    def denoise(planes: Planes) -> Planes:
        return unfused(denoiser, recipe, intensity.raw(planes))

    found = []
    for number, frame in enumerate(frames):
        place = Place(intensity.normalise(frame), unfused(denoiser, recipe, frame[None])[0], {})
        if _known(place.own).any():
            found.append(Seen.of(place, recipe, denoise, number))
    if not found:
        return Gate.closed("t")
    left = _mean(one.left for one in found)
    return Gate(left, {"t": OPENINGS["t"][-1] ** 2 * left}, _mean(one.coarse for one in found))


def raised(seen: Sequence[Seen], left: float) -> float:
    """Share of the noise that is left, raised to what results of the data differ by where nothing changes.

    Half the mean square of what two frames differ by is the noise that is left, and what has changed, which
    grows with the time between them: the line through the medians at one and at two frames says what it is
    at none (the nugget of a variogram; Matheron 1963). Noise that the measurement does not know is in there.

    Args:
        seen: places with neighbours along t.
        left: what the bootstrap says.
    """
    one, two = (np.concatenate([np.empty(0), *found]) for found in zip(*map(_lags, seen), strict=True))
    if not two.size:
        return left
    nugget = 2 * float(np.median(one)) - float(np.median(two))
    return min(max(nugget, left), MOST_RAISED**2 * left)


def _lags(seen: Seen) -> tuple[Values, Values]:
    """Half of what frames differ by at a distance of one and of two, over the noise; pixel by pixel."""
    before, after = seen.place.sides["t"]
    row = [*reversed(before), seen.place.own, *after]
    found = []
    for lag in (1, 2):
        pairs = [
            (first, second, _known(first, second)) for first, second in zip(row, row[lag:], strict=False)
        ]
        halves = [
            (mean_square(np.where(known, first - second, 0), None) / (2 * seen.variance))[known]
            for first, second, known in pairs
        ]
        found.append(np.concatenate([np.empty(0), *halves]))
    return found[0], found[1]


def _change(gate: Gate, seen: Sequence[Seen]) -> float:
    """Change of the mean squared error by fusion; what may be chance of an improvement does not count."""
    if gate.is_closed:
        return 0.0
    blocks = np.concatenate([one.change(gate) for one in seen])
    change, error = float(blocks.mean()), float(blocks.std()) / math.sqrt(blocks.size)
    return min(change + CERTAIN * error, 0.0) if change < 0 else change


def _gain(gate: Gate, seen: Sequence[Seen]) -> float:
    """Decibels that fusion is expected to bring, if results err as a posterior mean does."""
    before = float(np.concatenate([one.expected_error() for one in seen]).mean())
    planes = 1 + 2 * sum(NEIGHBOURS[axis] for axis in gate.allowed)
    after = max(before + _change(gate, seen), before / planes)  # a mean of so many can do no more
    return 10 * math.log10(before / after) if before > 0 else 0.0


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


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _known(*planes: Plane) -> Mask:
    known: Mask = np.logical_and.reduce([np.isfinite(plane) for plane in planes])
    return known
