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
from baikal_deploy.measurement.correlation import (
    FOREIGN,
    background,
    dark_pixels,
    find_correlation,
    unlikeness,
)
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.noise_model import Kernel, NoiseModel, fit_noise, noise_bins
from baikal_deploy.measurement.sample import block_means, noise_std, part_of, telling
from baikal_deploy.measurement.screen import NOTHING_WRONG, Screen, known_of
from baikal_deploy.measurement.spectrum import Spectrum, total_std
from baikal_deploy.measurement.surroundings import base, known_base
from baikal_deploy.pixels.arrays import Plane, Raw

Estimate = Callable[[Plane, float], Plane]
"""A denoiser: (normalised plane (H, W), its noise sigma on that scale) -> denoised plane (H, W)."""

SETTLED = 0.01
"""Percentiles have settled when both ends move by less than this fraction of their range."""
MAX_PASSES = 4
FITS = 2


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
    """

    intensity: IntensityMap
    sigma: float
    passes: int
    noise: NoiseModel | None = None
    screen: Screen = NOTHING_WRONG
    doubts: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """The measurement as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The measurement that gave a ``record``, to the last bit."""
        noise = record["noise"]
        parts = {
            "intensity": IntensityMap(**record["intensity"]),
            "noise": None if noise is None else NoiseModel.from_record(noise),
            "screen": Screen.from_record(record["screen"]),
            "doubts": tuple(record["doubts"]),
        }
        return cls(**{**record, **parts})

    def notes(self) -> list[str]:
        """Notes on the measurement that a user should read."""
        if self.noise is None or self.noise.unlike < FOREIGN:
            return list(self.doubts)
        return [
            *self.doubts,
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
        return self.intensity.normalised_sigma(self.noise.level * self.noise.raised)

    @property
    def spectrum(self) -> Spectrum | None:
        """Spectrum of the noise of equalised planes, on the network's scale; None where it is white."""
        noise = self.noise
        if noise is None or noise.kernel is None:
            return None
        std = self.intensity.normalised_sigma(noise.level * noise.correlation)
        return Spectrum(std**2 / (1 + noise.rows + noise.columns), noise.kernel, noise.rows, noise.columns)

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
    known, _ = _screened(planes, screen)
    sigma = noise_std(known)
    means = [block_means(plane) for plane in known]
    return Measurement(scale_of(normalisation, means, _of_the_rest(screen, sigma)), sigma, 0, None, screen)


def _of_the_rest(screen: Screen, sigma: float) -> NoiseModel:
    """The noise as the screen found it, which bright objects spoil less than a mean over all pixels."""
    return screen.noise if screen.noise.level > 0 else NoiseModel.uniform(sigma)


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
    known, filled = _screened(planes, rough.screen)
    sigma = rough.sigma * (1.0 if kernel is None else total_std(kernel))
    noise, current = NoiseModel.uniform(sigma), rough.intensity
    passes = 0
    while sigma > 0 and passes < MAX_PASSES and not current.is_constant:
        passes += 1
        estimates = [_estimated(plane, current, noise, estimate) for plane in filled]
        previous, current = (
            current,
            scale_of(normalisation, _of_known(estimates, known), _of_the_rest(rough.screen, sigma)),
        )
        if _settled(previous, current):
            break
    return replace(rough, intensity=current, sigma=sigma, passes=passes)


def _screened(planes: Sequence[Raw], screen: Screen) -> tuple[list[Raw], list[Raw]]:
    """What is measured of planes, with NaN for pixels that say nothing; and what a network is shown of
    them."""
    windows = telling(planes)
    screened = [screen.screened(plane) for plane in windows]
    pairs = zip(windows, screened, strict=True)
    known = [known_of(plane, found.unfilled, found.defects) for plane, found in pairs]
    return known, [found.plane for found in screened]


def _of_known(estimates: Sequence[Raw], known: Sequence[Raw]) -> list[Raw]:
    """Estimates, with NaN where nothing is known."""
    pairs = zip(estimates, known, strict=True)
    return [x if (finite := np.isfinite(plane)).all() else np.where(finite, x, np.nan) for x, plane in pairs]


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


def analyse(
    planes: Sequence[Raw],
    normalisation: Normalisation,
    found: Measurement,
    estimate: Estimate,
    kernel: Kernel | None = None,
) -> Measurement:
    """Add the noise model to what ``measure`` found.

    Where noise is correlated, the percentiles are taken once more, since estimates that were told of its
    finest detail alone have kept most of it.

    Args:
        planes, normalisation, estimate, kernel: as for ``measure``. Noise that the denoiser knows is taken
            to be what is there; ``NoiseModel.unlike`` tells whether it is.
        found: the measurement of these planes.

    Returns:
        The measurement with its noise model.
    """
    if found.intensity.is_constant or not found.sigma > 0:
        return replace(found, noise=NoiseModel.uniform(found.sigma))
    known, filled = (part_of(part) for part in _screened(planes, found.screen))
    total = 1.0 if kernel is None else total_std(kernel)
    noise, intensity = NoiseModel.uniform(found.sigma / total), found.intensity
    for _ in range(FITS):  # the second estimates keep less noise where it is strong
        estimates = [estimate_equalised(plane, intensity, noise, estimate, total) for plane in filled]
        noise = fit_noise(known, estimates)
        if not noise.level > 0:  # a few bright pixels on nothing: outliers, and no noise
            return replace(found, noise=noise)
    if kernel is not None:
        learnt = replace(noise, correlation=total, raised=total, kernel=kernel)
        return replace(found, noise=_compared(known, filled, intensity, learnt, estimate))
    noise = _with_correlation(known, filled, intensity, noise, estimate)
    if noise.is_correlated:
        estimates = [estimate_equalised(plane, intensity, noise, estimate, noise.raised) for plane in filled]
        intensity = scale_of(
            normalisation, _of_known(estimates, known), _of_the_rest(found.screen, found.sigma)
        )
    return replace(found, intensity=intensity, noise=noise)


def noise_curve(planes: Sequence[Raw], found: Measurement, estimate: Estimate) -> NDArray[np.float64]:
    """The points (bins, 3) that the noise model is fitted to, see ``noise_bins``; none without a model."""
    if found.noise is None or found.intensity.is_constant or not found.sigma > 0:
        return np.empty((0, 3))
    known, filled = (part_of(part) for part in _screened(planes, found.screen))
    noise = found.noise
    estimates = [
        estimate_equalised(plane, found.intensity, noise, estimate, noise.raised) for plane in filled
    ]
    return noise_bins(known, estimates)


def estimate_equalised(
    plane: Raw, intensity: IntensityMap, noise: NoiseModel, estimate: Estimate, factor: float = 1.0
) -> NDArray[np.float64]:
    """A plane (H, W), finite, denoised at ``factor`` times its noise level; in raw units."""
    low, beyond = below(plane, ceiling(intensity, noise))
    normalised = intensity.normalise(low)
    equaliser = Equaliser.of(normalised[None], noise, intensity)
    x = estimate(equaliser.forward(normalised[None])[0], intensity.normalised_sigma(factor * noise.level))
    raw: NDArray[np.float64] = intensity.denormalise(equaliser.back(x[None])[0], np.float64)
    return raw if beyond is None else raw + beyond


def _with_correlation(
    known: Sequence[Raw],
    filled: Sequence[Raw],
    intensity: IntensityMap,
    noise: NoiseModel,
    estimate: Estimate,
) -> NoiseModel:
    """The same noise with its correlation.

    Args:
        known: (H, W) each; NaN where a pixel says nothing.
        filled: the same planes with some value there.
        intensity, noise, estimate: as they were found.
    """
    surroundings = [known_base(plane) for plane in known]
    masks = dark_pixels(known, [base(around) for around in surroundings])

    def removed(factor: float) -> list[NDArray[Any]]:
        estimates = [estimate_equalised(plane, intensity, noise, estimate, factor) for plane in filled]
        return _scaled(filled, estimates, noise, surroundings)

    backgrounds = [background(plane, mask) for plane, mask in zip(filled, masks, strict=True)]
    found = find_correlation(_scaled(filled, backgrounds, noise, surroundings), masks, removed)
    return replace(
        noise,
        correlation=found.std,
        raised=found.raised,
        kernel=found.kernel,
        rows=found.rows,
        columns=found.columns,
    )


def _compared(
    known: Sequence[Raw],
    filled: Sequence[Raw],
    intensity: IntensityMap,
    noise: NoiseModel,
    estimate: Estimate,
) -> NoiseModel:
    """Noise that is taken for what the network knows, with how far it is from that.

    Args:
        known, filled, intensity, noise, estimate: as for ``_with_correlation``.
    """
    assert noise.kernel is not None
    surroundings = [known_base(plane) for plane in known]
    estimates = [estimate_equalised(plane, intensity, noise, estimate, noise.raised) for plane in filled]
    removed = _scaled(filled, estimates, noise, surroundings)
    return replace(noise, unlike=unlikeness(noise.kernel, dark_pixels(known, surroundings), removed))


def _scaled(
    planes: Sequence[Raw], others: Sequence[Raw], noise: NoiseModel, surroundings: Sequence[Raw]
) -> list[NDArray[Any]]:
    """Planes less others, over the noise's standard deviation."""
    return [
        (plane - other) / noise.std(around)
        for plane, other, around in zip(planes, others, surroundings, strict=True)
    ]
