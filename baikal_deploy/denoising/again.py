"""Planes that are denoised once more, averaged with their neighbours as their results are fused.

The mean of what some frames show holds less noise than each of them, and a network finds in it what it missed
in one. How many there are in it differs from pixel to pixel, and so does its noise. It is made the same
everywhere around the fused result, by what the mean differs from that, and that is taken back afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from baikal_deploy.denoising.batch import Progress
from baikal_deploy.denoising.compared import filled
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.fusion import Fused
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.shown import Shown
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.screen import NOTHING_WRONG
from baikal_deploy.measurement.surroundings import BASE_REACH
from baikal_deploy.pixels.arrays import Plane, Planes, Raw

COUNTED = {"t": 1.0, "z": 0.5}
"""Share of the new result in what comes of it, beside the fused one: planes along z show other things, and
their results err otherwise, so that these averaged are as good."""
REACH = 2 * BASE_REACH
"""Pixels that a mean depends on around it, beside those that it is made of."""


def data_of(plane: Raw, crop: Crop, measurement: Measurement) -> Plane:
    """What a network is shown of a plane, and what is too bright for it, on the network's scale.

    Args:
        plane: (H, W) in raw units.
        crop: which part of a larger one it is.
        measurement: of its channel.

    Returns:
        The wanted part, (height, width), finite.
    """
    shown = Shown.of(plane[None], crop, measurement)
    pixels = shown.planes if shown.beyond is None else shown.planes + shown.beyond
    found: Plane = measurement.intensity.normalise(crop.trimmed(pixels))[0]
    return found


def measured_again(measurement: Measurement, gate: Gate) -> Measurement:
    """Measurement of planes that were averaged, whose noise is the same everywhere.

    It is as low as if all neighbours that are looked at were in the mean.

    Args:
        measurement: of single planes.
        gate: of their channel.
    """
    share, noise, intensity = 1 / gate.planes, measurement.noise, measurement.intensity
    if noise is not None:
        variance = noise.even_level(intensity.low, intensity.high) ** 2 * share
        noise = replace(noise, gain=0.0, intercept=variance, floor=variance, level=variance**0.5)
    sigma = measurement.sigma * share**0.5
    return replace(measurement, sigma=sigma, noise=noise, screen=NOTHING_WRONG, gate=None)


@dataclass(frozen=True)
class Again:
    """The way in which averaged planes of a channel are denoised.

    Attributes:
        denoiser: the model.
        single: recipe of single planes.
        mean: recipe of the averaged ones.
        counted: share of the new result in what comes of it; 0 where no neighbour is of use: planes then stay
            as they are, and there is a deviation alone.
    """

    denoiser: Denoiser
    single: Recipe
    mean: Recipe
    counted: float

    @classmethod
    def of(cls, denoiser: Denoiser, sampler: Sampler, single: Recipe, gate: Gate) -> Self:
        """The way of a channel.

        Args:
            denoiser: the model.
            sampler: as asked for.
            single: recipe of single planes.
            gate: of the channel.

        Raises:
            ConfigError: see ``Denoiser.recipe``.
        """
        measurement = measured_again(single.measurement, gate)
        counted = max((COUNTED[axis] for axis, allowed in gate.allowed.items() if allowed), default=0.0)
        return cls(denoiser, single, denoiser.recipe(sampler, measurement, single.seed), counted)

    def denoised(
        self,
        fused: Fused,
        number: int,
        around: Crop,
        crop: Crop,
        *,
        std: bool,
        progress: Progress | None = None,
    ) -> tuple[Plane, Planes | None]:
        """Denoise a plane, averaged with its neighbours.

        Args:
            fused: its result as it is fused, with the mean of the data.
            number: of the plane in its volume.
            around: what is known of the whole plane.
            crop: what of that the network is shown, and what of that is wanted.
            std: whether its standard deviation is.
            progress: see ``Progress``.

        Returns:
            The wanted part of the plane, on the network's scale, not finite where it holds no result; and of
            the standard deviation, (1, height, width) in raw units.

        Raises:
            EngineError: the network failed.
        """
        shown, part = (replace(around, wanted=region).within for region in (crop.read, crop.wanted))
        first, kept = filled(fused.plane), fused.plane[part]
        data, factor = self._evened(fused, first)
        stack = Stack(self.mean.measurement.intensity.raw(data[shown])[None], [number])
        wanted = Wanted(np.float32, std=std, guard=False, unfused=True)
        done = self.denoiser.run(self.mean, stack, crop, wanted, progress=progress)
        spread = None if done.std is None else done.std / factor[part]
        if not self.counted:
            return kept, spread
        back = first[part] + (done.planes[0] - first[part]) * (np.float32(self.counted) / factor[part])
        return np.where(np.isfinite(kept) & np.isfinite(back), back, kept), spread

    def _evened(self, fused: Fused, first: Plane) -> tuple[Plane, Plane]:
        """The mean with the same noise all over around an estimate, and the factor on what they differ by."""
        assert fused.data is not None
        assert fused.noise is not None
        variance = self.single.variance(first) * fused.noise
        factor = np.float32(self.mean.spectrum.std) / np.sqrt(variance)
        even = first + np.where(np.isfinite(fused.plane), (fused.data - first) * factor, 0)
        return even, factor
