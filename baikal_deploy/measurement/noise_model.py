"""The noise of a channel: how it depends on the signal, and between pixels.

A photon-counting detector has var = gain·x + intercept at the mean intensity x (Foi et al. 2008): shot noise
grows with the signal, read noise does not. The variance is that of the diagonal Haar detail, which sees
little of structure, in bins of a first estimate, since the noisy intensities would flatten the line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from baikal_deploy.measurement.surroundings import known_base
from baikal_deploy.pixels.arrays import Raw, Values

Kernel = tuple[tuple[float, ...], ...]
"""Autocorrelation of noise at each distance up to a number of pixels along x and y: 1 in the centre."""

BINS = 24
"""Number of bins that hold equal numbers of pixels, and of as many equal ranges, as bright parts are few."""
LEAST_IN_BIN = 50
CLIP = 3.5
"""Standard deviations beyond which details are edges or hot pixels."""
LEAST_CLIP = 2.0
"""Grey levels that no detail is an outlier below: where hardly any photons come, single ones exceed CLIP."""
LEVEL_PIXELS = 2**17
"""Pixels that the distance of grey levels is told by."""
CLIP_GAIN = 1.0027
"""Standard deviation of a Gaussian over that of what CLIP leaves of it."""
MODEL_ERROR = 0.03
"""Relative error of a bin's variance however many pixels it holds: structure, a nonlinear detector."""
CERTAIN = 3.0
"""Standard errors that the gain must exceed 0 by to count."""
LEAST_VARIANCE = 1e-3
"""Least variance, as a share of the whole channel's; with none at all, where few grey levels hide the noise,
it would be scaled without bounds.
"""
SATURATED_SHARE = 1e-4
"""Share of the pixels at the highest value from which on it is the detector's limit."""
PILED_UP = 2.0
"""Pixels at the detector's limit for each at the value below it, at least."""


@dataclass(frozen=True)
class NoiseModel:
    """Noise of a channel in raw units: var(x) = max(gain·x + intercept, floor) at the mean intensity x.

    Attributes:
        gain: raw units per detected photon; 0 where the noise does not depend on the signal.
        intercept: variance at raw intensity 0: read noise, less what an offset adds; may be negative.
        floor: least variance that was measured anywhere.
        level: geometric mean of the standard deviation over the channel.
        correlation: standard deviation of the noise over that of its finest detail; 1 where neighbours
            are independent.
        raised: factor on ``level`` at which the network removes it; for one that knows this noise that is
            ``correlation``, for one that knows white noise alone it is more.
        kernel: autocorrelation of the noise where it is equalised, without what lines share; None where
            pixels are independent.
        rows, columns: variance of what all pixels of a row, of a column, share, over that of the rest.
        unlike: by how much the correlation of direct neighbours differs from ``kernel``, where that is not
            measured but what the network was fine-tuned to.
    """

    gain: float
    intercept: float
    floor: float
    level: float
    correlation: float = 1.0
    raised: float = 1.0
    kernel: Kernel | None = None
    rows: float = 0.0
    columns: float = 0.0
    unlike: float = 0.0

    @classmethod
    def uniform(cls, sigma: float) -> Self:
        """Noise of one standard deviation everywhere."""
        return cls(0.0, sigma**2, sigma**2, sigma)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The model whose fields these are, as JSON holds them."""
        kernel = record["kernel"]
        return cls(**{**record, "kernel": None if kernel is None else tuple(map(tuple, kernel))})

    @property
    def is_correlated(self) -> bool:
        return self.kernel is not None

    def std(self, intensity: Raw) -> Values:
        """Standard deviation of the finest detail at mean intensities, in raw units."""
        variance = self.gain * np.asarray(intensity, dtype=np.float64) + self.intercept
        return np.sqrt(np.maximum(variance, self.floor))

    def even_level(self, low: float, high: float) -> float:
        """Standard deviation of the noise where it is made the same everywhere (see ``Equaliser``).

        The harmonic mean of ``std`` over the intensities from low to high, in raw units; at low, where high
        is not above it.
        """
        if not (self.gain > 0 and high > low):
            return float(self.std(np.array(low)))
        return (high - low) / (self._noise_steps(high) - self._noise_steps(low))

    def _noise_steps(self, intensity: float) -> float:
        """∫ dx/std(x) up to an intensity, from some intensity; of noise that depends on it."""
        variance = self.gain * intensity + self.intercept
        if variance < self.floor:
            least = math.sqrt(self.floor)
            return (2 * least + (variance - self.floor) / least) / self.gain
        return 2 * math.sqrt(variance) / self.gain

    def with_level(self, planes: Sequence[Raw]) -> Self:
        """The same noise with the ``level`` of these planes, (H, W) each."""
        logs = [_mean_log(self.std(known_base(plane)), plane) for plane in planes if np.isfinite(plane).any()]
        return replace(self, level=math.exp(float(np.mean(logs))))


def _mean_log(std: Values, plane: Raw) -> float:
    """Mean logarithm where the plane is known."""
    known = np.isfinite(plane)
    return float(np.log(std if known.all() else std[known]).mean())


def fit_noise(planes: Sequence[Raw], estimates: Sequence[Raw]) -> NoiseModel:
    """Fit a line to the variance in bins of the estimate.

    Args:
        planes: noisy, (H, W) each, in raw units, with NaN where a pixel says nothing.
        estimates: of what they show without noise.

    Returns:
        A model without correlation; ``uniform`` where the signal's range is too small for a line, or the
        variance does not grow with it.
    """
    details, means, clip = *_details(planes, estimates), LEAST_CLIP * grey_level(planes)
    bins = _bins(details, means, clip)
    overall = _clipped_variance(details, clip)
    uniform = NoiseModel.uniform(math.sqrt(overall))
    if len(bins) < 3 or not overall > 0:
        return uniform
    gain, intercept, error = _line(*bins.T)
    if not gain > CERTAIN * error:
        return uniform
    least = bins[bins[:, 2] >= np.median(bins[:, 2]), 1].min()  # small bins are a matter of chance
    floor = max(float(least), LEAST_VARIANCE * overall)
    return NoiseModel(gain, intercept, floor, math.sqrt(overall)).with_level(planes)


def noise_bins(planes: Sequence[Raw], estimates: Sequence[Raw]) -> Values:
    """The points that ``fit_noise`` fits to: (bins, 3) of mean intensity, variance, and number of details."""
    return _bins(*_details(planes, estimates), LEAST_CLIP * grey_level(planes))


def grey_level(planes: Sequence[Raw]) -> float:
    """Smallest difference of two values of some planes, in raw units; 0 where they hold one.

    Args:
        planes: (H, W) each; what is not finite counts for nothing.
    """
    pixels = np.concatenate([np.empty(0), *(plane.ravel() for plane in planes)])
    values = np.unique(pixels[:: len(pixels) // LEVEL_PIXELS + 1])
    values = values[np.isfinite(values)]
    return float(np.diff(values).min()) if len(values) > 1 else 0.0


def _details(planes: Sequence[Raw], estimates: Sequence[Raw]) -> tuple[Values, Values]:
    """Diagonal Haar details and mean estimates of 2x2 blocks, without those at the detector's limit."""
    details, means = [np.empty(0)], [np.empty(0)]
    limit = detector_limit(planes)
    for plane, estimate in zip(planes, estimates, strict=True):
        quads, means_of = _quads(plane), _quads(estimate).mean(axis=(1, 3))
        kept = quads.max(axis=(1, 3)) < limit
        detail = (quads[:, 0, :, 0] - quads[:, 0, :, 1] - quads[:, 1, :, 0] + quads[:, 1, :, 1]) / 2
        details.append(detail[kept])
        means.append(means_of[kept])
    return np.concatenate(details), np.concatenate(means)


def detector_limit(planes: Sequence[Raw]) -> float:
    """The value at which the detector saturates; infinite where it does not.

    Args:
        planes: (H, W) each; NaN counts for nothing.
    """
    highest, count = _highest(planes, math.inf)
    pixels = sum(plane.size for plane in planes)
    if not count > max(1, SATURATED_SHARE * pixels):
        return math.inf
    below = _highest(planes, highest)[1]  # without a limit, higher values are rarer
    return highest if PILED_UP * below < count else math.inf


def _highest(planes: Sequence[Raw], limit: float) -> tuple[float, int]:
    """The highest value below a limit, and how many pixels have it."""
    found = [plane[plane < limit] for plane in planes]
    highest = max((values.max() for values in found if values.size), default=-math.inf)
    return float(highest), sum(int((values == highest).sum()) for values in found)


def _quads(plane: Raw) -> Values:
    """Blocks of 2x2 pixels: (H // 2, 2, W // 2, 2)."""
    height, width = (side - side % 2 for side in plane.shape)
    return plane[:height, :width].astype(np.float64).reshape(height // 2, 2, width // 2, 2)


def _bins(details: Values, means: Values, clip: float) -> Values:
    if not means.size:
        return np.empty((0, 3))
    edges = np.unique(
        np.append(
            np.quantile(means, np.linspace(0, 1, BINS + 1)), np.linspace(means.min(), means.max(), BINS)
        )
    )
    place = np.clip(np.searchsorted(edges, means, side="right") - 1, 0, max(len(edges) - 2, 0))
    order = np.argsort(place, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(place, minlength=max(len(edges) - 1, 1)))[:-1])
    rows = [
        (means[group].mean(), _clipped_variance(details[group], clip), len(group))
        for group in groups
        if len(group) >= LEAST_IN_BIN
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _clipped_variance(details: Values, clip: float) -> float:
    """Mean square of the details without outliers, none of which is smaller than ``clip``."""
    std = float(np.sqrt(np.mean(details**2))) if details.size else 0.0
    for _ in range(5):
        inside = details[np.abs(details) <= max(CLIP * std, clip)]
        std = CLIP_GAIN * float(np.sqrt(np.mean(inside**2))) if inside.size else 0.0
    return std**2


def _line(x: Values, variance: Values, count: Values) -> tuple[float, float, float]:
    """Fit a robust weighted line: its slope, its value at 0, and the slope's standard error.

    A bin's variance has the relative error √(2/count), beside MODEL_ERROR; the predicted variance and not the
    measured one sets the weights, since low ones would weigh most otherwise. Bins more than two errors away
    count less (Huber).
    """
    relative = 2 / count + MODEL_ERROR**2
    centre = float(np.average(x, weights=count))
    slope, value = 0.0, float(np.average(variance, weights=count))
    for _ in range(10):
        predicted = np.maximum(slope * (x - centre) + value, 1e-3 * variance.max())
        weight = 1 / (predicted**2 * relative)
        distance = np.abs(variance - predicted) * np.sqrt(weight)
        weight *= np.minimum(1, 2 / np.maximum(distance, 1e-9))
        design = np.stack([x - centre, np.ones_like(x)], axis=1)
        normal = design.T @ (weight[:, None] * design)
        slope, value = np.linalg.solve(normal, design.T @ (weight * variance))
    error = math.sqrt(float(np.linalg.inv(normal)[0, 0]))
    return float(slope), float(value - slope * centre), error
