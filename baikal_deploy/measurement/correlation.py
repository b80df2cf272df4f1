"""Noise that neighbouring pixels share: whether there is any, and the level at which to remove it.

The finest detail of correlated noise is weak, and a network that is told of it leaves the rest. So what a
denoiser removes is looked at in the dark, where there is least structure. In white noise all Haar details of
it are as strong as the diagonal one; where others are much stronger, the noise is correlated. Its spectrum,
from the autocorrelation of what a much stronger denoising removes, then tells how far the level must be
raised: nearly to the spectrum's highest values, since white noise of that level hides this one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.noise_model import Kernel
from baikal_deploy.pixels.arrays import Values

Residuals = Callable[[float], list[Values]]
"""(factor on the noise level) -> what a denoiser at that level removes from each plane, over the noise's
standard deviation."""

DARK = 40
"""Percentile of the surroundings below which it is dark."""
SUSPECT, CERTAIN = 1.3, 1.5
"""Variance of other details over that of the diagonal one: in the planes, where structure counts as well, and
in what a denoiser at PROBE times the level removes."""
PROBE = 1.5
STRONG = 2.0
"""Level at which a network removes nearly all noise, as a factor on the noise's standard deviation."""
STRONGEST = 8.0
FOREIGN = 0.12
"""Difference in the correlation of neighbours from which on noise is not what a model was fine-tuned to. On
simulated volumes its own noise differs by 0.05 at most, that of half the correlation by 0.2."""
REACH = 3
"""Largest distance, in pixels, at which noise is taken to be correlated."""
PEAK = 85
"""Percentile of the spectrum that the raised level hides."""


@dataclass(frozen=True)
class Correlation:
    """Correlation of a channel's noise between neighbouring pixels.

    Attributes:
    std: standard deviation of the noise over that of its finest detail.
    raised: level at which a network that knows white noise alone removes it, over the same.
    kernel: its autocorrelation; None where it is white.
    """

    std: float = 1.0
    raised: float = 1.0
    kernel: Kernel | None = None


def find_correlation(
    planes: Sequence[Values], surroundings: Sequence[Values], residuals: Residuals
) -> Correlation:
    """Find how much stronger correlated noise is than its finest detail, and how it is correlated.

    Args:
        planes: less their surroundings, over the noise's standard deviation; (H, W) each.
        surroundings: blurred planes, (H, W) each.
        residuals: see ``Residuals``.
    """
    dark = _dark(surroundings)
    if detail_ratio(planes, dark) < SUSPECT or detail_ratio(residuals(PROBE), dark) < CERTAIN:
        return Correlation()
    factor = STRONG
    for _ in range(6):
        correlation = autocorrelation(residuals(factor), dark)
        std = math.sqrt(max(correlation[REACH, REACH], 1.0))
        previous, factor = factor, min(STRONG * std, STRONGEST)
        if abs(factor / previous - 1) < 0.05:
            break
    raised = max(math.sqrt(float(np.percentile(spectrum(correlation), PEAK))), 1.0)
    return Correlation(std, raised, _normalised(correlation))


def _normalised(correlation: Values) -> Kernel:
    """The autocorrelation with 1 in the centre, to four digits, which are more than were measured."""
    scaled = np.round(correlation / correlation[REACH, REACH], 4)
    return tuple(tuple(row) for row in scaled.tolist())


def unlikeness(kernel: Kernel, surroundings: Sequence[Values], removed: Sequence[Values]) -> float:
    """Largest difference between the found and the expected correlation of direct neighbours.

    Args:
        kernel: what was expected.
        surroundings: blurred planes, (H, W) each.
        removed: what a denoiser of that noise removes from them, over the noise's standard deviation.
    """
    found = autocorrelation(removed, _dark(surroundings))
    if not found[REACH, REACH] > 0:
        return 0.0
    difference = np.abs(found / found[REACH, REACH] - np.asarray(kernel))
    return float(max(difference[REACH, REACH + 1], difference[REACH + 1, REACH]))


def total_std(kernel: Kernel) -> float:
    """Standard deviation of noise over that of its finest detail, by its autocorrelation."""
    return 1 / math.sqrt(_fine_variance(np.asarray(kernel)))


def _fine_variance(values: Values) -> float:
    """Variance of the diagonal Haar detail (a − b − c + d)/2 of noise of variance 1."""
    same, below = values[REACH, REACH:], values[REACH + 1, REACH - 1 :]
    return float(same[0] - same[1] - below[1] + (below[0] + below[2]) / 2)


def check_kernel(kernel: Kernel) -> None:
    """Check an autocorrelation that somebody else made.

    Raises:
        ConfigError: it cannot be the autocorrelation of noise.
    """
    side = 2 * REACH + 1
    values = np.asarray(kernel) if {len(row) for row in kernel} == {side} else np.empty(0)
    if values.shape != (side, side) or not (np.abs(values) <= 1).all() or values[REACH, REACH] != 1:
        raise ConfigError(f"noise_correlation: must be {side}x{side} numbers within −1 … 1, 1 in the centre")
    if (values != values[::-1, ::-1]).any() or not _fine_variance(values) > 0:
        raise ConfigError("noise_correlation: no noise has this autocorrelation; export the model again")


def detail_ratio(planes: Sequence[Values], dark: Sequence[NDArray[np.bool_]]) -> float:
    """Variance of the stronger of the horizontal and vertical Haar details over that of the diagonal one."""
    sums = np.zeros(3)
    for plane, mask in zip(planes, dark, strict=True):
        height, width = (side - side % 2 for side in plane.shape)
        a, b = plane[:height:2, :width:2], plane[:height:2, 1:width:2]
        c, d = plane[1:height:2, :width:2], plane[1:height:2, 1:width:2]
        inside = mask[:height:2, :width:2]
        for i, detail in enumerate((a - b + c - d, a + b - c - d, a - b - c + d)):
            sums[i] += np.square(detail[inside]).sum()
    return float(max(sums[:2]) / sums[2]) if sums[2] > 0 else 1.0


def autocorrelation(planes: Sequence[Values], masks: Sequence[NDArray[np.bool_]]) -> Values:
    """Mean product of masked pixels at each distance up to REACH: (2·REACH + 1, 2·REACH + 1), symmetric."""
    total, count = np.zeros((2, 2 * REACH + 1, 2 * REACH + 1))
    for plane, mask in zip(planes, masks, strict=True):
        values = np.where(mask, plane - plane[mask].mean() if mask.any() else 0, 0)
        weights = mask.astype(np.float64)
        for dy in range(REACH + 1):
            for dx in range(-REACH, REACH + 1):
                total[REACH + dy, REACH + dx] += _shifted_product(values, dy, dx)
                count[REACH + dy, REACH + dx] += _shifted_product(weights, dy, dx)
    half = total / np.maximum(count, 1)
    half[:REACH] = half[REACH + 1 :][::-1, ::-1]
    return half


def _shifted_product(values: Values, dy: int, dx: int) -> float:
    height, width = values.shape
    here = values[dy:, max(dx, 0) : width + min(dx, 0)]
    there = values[: height - dy, max(-dx, 0) : width + min(-dx, 0)]
    return float((here * there).sum())


def spectrum(correlation: Values, shape: tuple[int, int] = (32, 32)) -> Values:
    """Power spectrum of an autocorrelation, on a grid of frequencies; white noise of variance 1 has 1."""
    grid = np.zeros(shape)
    near = np.arange(-REACH, REACH + 1)
    grid[np.ix_(near % shape[0], near % shape[1])] = correlation
    return np.maximum(np.fft.fft2(grid).real, 0)


def _dark(surroundings: Sequence[Values]) -> list[NDArray[np.bool_]]:
    limit = np.nanpercentile(np.concatenate([plane.ravel() for plane in surroundings]), DARK)
    return [plane <= limit for plane in surroundings]
