"""The measurement of a channel: its intensity map, and its noise.

Percentiles of a noisy volume measure its noise rather than its signal, so they are taken from block means
first and then re-taken from denoised estimates until they settle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.bright import below, ceiling, scale_of
from baikal_deploy.measurement.correlation import FOREIGN
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.noise_model import Kernel, NoiseModel
from baikal_deploy.measurement.sample import block_means, noise_std, telling
from baikal_deploy.measurement.screen import NOTHING_WRONG, Screen, known_and_filled, where_known
from baikal_deploy.measurement.spectrum import Spectrum, total_std
from baikal_deploy.measurement.structure.known import Finding
from baikal_deploy.pixels.arrays import Plane, Raw

Estimate = Callable[[Plane, float], Plane]
"""A denoiser: (normalised plane (H, W), its noise sigma on that scale) -> denoised plane (H, W)."""

SETTLED = 0.01
"""Percentiles have settled when both ends move by less than this fraction of their range."""
MAX_PASSES = 4


@dataclass(frozen=True)
class Measurement:
    """A channel's intensity map and noise, as a run measures them.

    Attributes:
        intensity: the map to the network's scale.
        sigma: standard deviation of the noise, in raw units.
        passes: denoised estimates it took for the percentiles to settle.
        noise: how the noise depends on the signal, and between pixels; None where nobody asked.
        screen: tells the pixels that say nothing.
        doubts: what is to be said before anything is denoised, in sentences.
        structure: what the channel looks like, and whether the model knows that; None where nobody asked.
    """

    intensity: IntensityMap
    sigma: float
    passes: int
    noise: NoiseModel | None = None
    screen: Screen = NOTHING_WRONG
    doubts: tuple[str, ...] = ()
    structure: Finding | None = None

    def record(self) -> dict[str, Any]:
        """The measurement as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The measurement that gave a ``record``, to the last bit."""
        noise, structure = record["noise"], record.get("structure")  # earlier versions recorded none
        parts = {
            "intensity": IntensityMap(**record["intensity"]),
            "noise": None if noise is None else NoiseModel.from_record(noise),
            "screen": Screen.from_record(record["screen"]),
            "doubts": tuple(record["doubts"]),
            "structure": None if structure is None else Finding.from_record(structure),
        }
        return cls(**{**record, **parts})

    def notes(self) -> list[str]:
        """Notes on the measurement that a user should read."""
        told = [*self.doubts, *([] if self.structure is None else self.structure.notes())]
        if self.noise is None or self.noise.unlike < FOREIGN:
            return told
        return [
            *told,
            "the noise is not what the model was fine-tuned to (the correlation of neighbours differs by "
            f"{self.noise.unlike:.2f}): take the model it was made from, or fine-tune that to this volume",
        ]

    @property
    def ceiling(self) -> float:
        """Intensity, in raw units, beyond which the network is not shown more."""
        return ceiling(self.intensity, self.noise or NoiseModel.uniform(self.sigma))

    @property
    def normalised_sigma(self) -> float:
        return self.intensity.normalised_sigma(self.sigma)

    @property
    def matched_sigma(self) -> float:
        """Noise level, on the network's scale, at which correlated noise is removed from equalised planes."""
        if self.noise is None:
            return self.normalised_sigma
        return self.intensity.normalised_sigma(self._even_level(self.noise) * self.noise.raised)

    @property
    def spectrum(self) -> Spectrum | None:
        """Spectrum of the noise of equalised planes, on the network's scale; None where it is white."""
        noise = self.noise
        if noise is None or noise.kernel is None:
            return None
        std = self.intensity.normalised_sigma(self._even_level(noise) * noise.correlation)
        return Spectrum(std**2 / (1 + noise.rows + noise.columns), noise.kernel, noise.rows, noise.columns)

    def _even_level(self, noise: NoiseModel) -> float:
        return noise.even_level(self.intensity.low, self.intensity.high)

    def sigma_for(self, noise: Literal["uniform", "signal"]) -> float:
        """The noise level, on the network's scale, of planes that are handled so (see ``Sampler.noise``)."""
        return self.matched_sigma if noise == "signal" else self.normalised_sigma


def measure_roughly(planes: Sequence[Raw], normalisation: Normalisation) -> Measurement:
    """Noise level and intensity map of noisy planes, from block means; no network is asked.

    Args:
        planes: a bounded sample of the channel, (H, W) arrays in raw units.
        normalisation: the percentiles that the model was trained with.

    Returns:
        A measurement without a noise model.
    """
    screen = Screen.of(telling(planes))
    known, _ = known_and_filled(planes, screen)
    sigma = noise_std(known)
    means = [block_means(plane) for plane in known]
    return Measurement(scale_of(normalisation, means, screen.noise_beside(sigma)), sigma, 0, None, screen)


def measure(
    planes: Sequence[Raw], normalisation: Normalisation, estimate: Estimate, kernel: Kernel | None = None
) -> Measurement:
    """Noise level and intensity map of noisy planes.

    Args:
        planes: a bounded sample of the channel, (H, W) arrays in raw units.
        normalisation: the percentiles that the model was trained with.
        estimate: a cheap denoiser on the network's scale.
        kernel: autocorrelation of the noise that the denoiser knows; None: it knows white noise.

    Returns:
        A measurement without a noise model.
    """
    rough = measure_roughly(planes, normalisation)
    known, filled = known_and_filled(planes, rough.screen)
    sigma = rough.sigma * (1.0 if kernel is None else total_std(kernel))
    noise, current = NoiseModel.uniform(sigma), rough.intensity
    passes = 0
    while sigma > 0 and passes < MAX_PASSES and not current.is_constant:
        passes += 1
        estimates = [_estimated(plane, current, noise, estimate) for plane in filled]
        scale = scale_of(normalisation, where_known(estimates, known), rough.screen.noise_beside(sigma))
        previous, current = current, scale
        if _settled(previous, current):
            break
    return replace(rough, intensity=current, sigma=sigma, passes=passes)


def _estimated(
    plane: Raw, intensity: IntensityMap, noise: NoiseModel, estimate: Estimate
) -> NDArray[np.float64]:
    low, beyond = below(plane, ceiling(intensity, noise))
    x = estimate(intensity.normalise(low), intensity.normalised_sigma(noise.level))
    raw: NDArray[np.float64] = intensity.denormalise(x, np.float64)
    return raw if beyond is None else raw + beyond


def _settled(previous: IntensityMap, current: IntensityMap) -> bool:
    allowed = SETTLED * (current.high - current.low)
    return abs(previous.low - current.low) <= allowed and abs(previous.high - current.high) <= allowed
