"""The noise model of a channel: how its noise depends on the signal, and between pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.bright import below, ceiling, scale_of
from baikal_deploy.measurement.channel import Estimate, Measurement
from baikal_deploy.measurement.correlation import background, dark_pixels, find_correlation, unlikeness
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.noise_model import Kernel, NoiseModel, fit_noise, noise_bins
from baikal_deploy.measurement.sample import part_of
from baikal_deploy.measurement.screen import known_and_filled, where_known
from baikal_deploy.measurement.spectrum import total_std
from baikal_deploy.measurement.surroundings import base, known_base
from baikal_deploy.pixels.arrays import Raw

FITS = 2


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
    known, filled = (part_of(part) for part in known_and_filled(planes, found.screen))
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
        beside = found.screen.noise_beside(found.sigma)
        intensity = scale_of(normalisation, where_known(estimates, known), beside)
    return replace(found, intensity=intensity, noise=noise)


def noise_curve(planes: Sequence[Raw], found: Measurement, estimate: Estimate) -> NDArray[np.float64]:
    """The points (bins, 3) that the noise model is fitted to, see ``noise_bins``; none without a model."""
    if found.noise is None or found.intensity.is_constant or not found.sigma > 0:
        return np.empty((0, 3))
    known, filled = (part_of(part) for part in known_and_filled(planes, found.screen))
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
    even, equaliser = Equaliser.equalised(low[None], noise, intensity)
    x = estimate(even[0], factor * equaliser.level)
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
