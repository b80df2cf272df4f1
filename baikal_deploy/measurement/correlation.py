"""Noise that neighbouring pixels share: whether there is any, and its spectrum.

Structure and noise overlap at low frequencies, but hardly at the highest: there the spectrum of what is left
of the dark parts, less their background, is that of the noise. Where it is not flat the noise is correlated.
That is looked at once more in what a denoiser removes, which holds no fine structure. Then a denoiser at
the level of the spectrum's highest values tells low frequencies: it removes all noise there and little else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.bands import (
    ERRORS,
    GRID,
    HIGH,
    Masks,
    broadness,
    high_bands,
    is_uneven,
    patchiness,
    radius,
    ring,
)
from baikal_deploy.measurement.noise_model import Kernel
from baikal_deploy.measurement.spectrum import (
    LINE_REACH,
    REACH,
    autocovariance,
    covariance_of,
    power_of,
    tapered,
)
from baikal_deploy.pixels.arrays import Raw, Values
from baikal_deploy.pixels.cells import CELL, cell_sums, interpolated

Removed = Callable[[float], list[Values]]
"""(factor on the noise level) -> what a denoiser at that level removes from each plane, over the noise's
standard deviation."""

DARK = 20
"""Percentile of the surroundings below which it is dark."""
FEWEST = 512
"""Dark pixels that tell a spectrum, at least: of fewer, chance would."""
BACKGROUND_SIGMA = 24.0
"""Sigma, in pixels, of the blur of dark pixels that tells the background."""
UNLIKE = 3.0
"""Strongest over weakest band of high frequencies, from which on these tell nothing of low ones."""
PROBE = 1.5
"""Level at which a network removes nearly all white noise, as a factor on its standard deviation."""
SUSPECT, CERTAIN = 1.08, 1.25
"""Largest over smallest mean power of the three bands of highest frequencies, from which on noise may be, and
is, correlated: in the planes less their background, and in what a denoiser removes."""
FAR = 4.0
"""Level, as a factor on the noise's, at which a network removes broad noise."""
BROAD, CERTAINLY_BROAD = 4.7, 9.0
"""``broadness`` from which on it may be noise, and is: fibres without a dark part come to 7."""
PATCHY = 0.36
"""``patchiness`` from which on power that may be noise is structure."""
LOW = 0.2
"""Frequency below which there is so much that noise is what high frequencies lead to expect, at most."""
LOWEST = 0.05
"""Frequency below which the power is taken for that just above: with the background, noise was taken off."""
STRONG = 1.4
"""Level at which a network removes correlated noise, as a factor on the root of its strongest power."""
PEAK = 97
"""Percentile of the spectrum that the raised level hides."""
LEAST_LINES = 0.006
"""Share of the variance from which on lines count."""
NEAR = 16
"""Least distance, in pixels, of pixels of a line whose correlation is not that of neighbours."""
FOREIGN = 0.12
"""Difference in the correlation of neighbours from which on noise is not what a model was fine-tuned to. On
simulated volumes its own noise differs by 0.05 at most, that of half the correlation by 0.2."""


@dataclass(frozen=True)
class Correlation:
    """Correlation of a channel's noise between pixels.

    Attributes:
        std: standard deviation of the noise over that of its finest detail.
        raised: level at which a network that knows white noise alone removes it, over the same.
        kernel: its autocorrelation, without what lines share; None where it is white.
        rows, columns: see ``Spectrum``.
    """

    std: float = 1.0
    raised: float = 1.0
    kernel: Kernel | None = None
    rows: float = 0.0
    columns: float = 0.0


def dark_pixels(planes: Sequence[Raw], surroundings: Sequence[Values]) -> list[NDArray[np.bool_]]:
    """Masks of the darkest DARK % of pixels, by their surroundings, without those that say nothing (NaN).

    Args:
        planes: (H, W) each.
        surroundings: blurred planes, (H, W) each.
    """
    said = [np.isfinite(plane) for plane in planes]
    known = [around[mask] for around, mask in zip(surroundings, said, strict=True)]
    limit = np.percentile(np.concatenate(known), DARK) if sum(map(len, known)) else 0
    return [mask & (around <= limit) for around, mask in zip(surroundings, said, strict=True)]


def background(plane: Raw, mask: NDArray[np.bool_]) -> Values:
    """The mean around each pixel of the masked ones alone, (H, W).

    Args:
        plane: (H, W).
        mask: (H, W).
    """
    height, width = plane.shape
    padding = [(0, -side % CELL) for side in plane.shape]
    cells = [
        gaussian_filter(cell_sums(np.pad(values, padding)), BACKGROUND_SIGMA / CELL, truncate=2)
        for values in (np.where(mask, plane, 0).astype(np.float64), mask.astype(np.float64))
    ]
    mean: Values = interpolated(cells[0] / np.maximum(cells[1], 1e-9))[:height, :width]
    return mean


def find_correlation(planes: Sequence[Values], masks: Masks, removed: Removed) -> Correlation:
    """Find how noise is correlated, and how much stronger it is than its finest detail.

    Args:
        planes: less their background, over the noise's standard deviation; (H, W) each.
        masks: of the pixels that are dark, (H, W) each.
        removed: see ``Removed``.
    """
    if sum(int(mask.sum()) for mask in masks) < FEWEST:
        return Correlation()
    broad = broadness(planes, masks) > BROAD
    if not (broad or is_uneven(planes, masks, SUSPECT) or any(_lines(planes, masks))):
        return Correlation()
    fine = removed(PROBE)
    lines = _lines(fine, masks)
    uneven = is_uneven(fine, masks, CERTAIN)
    broad = broad and not uneven and _is_broad_noise(removed(FAR), masks)
    if not (uneven or any(lines) or broad):
        return Correlation()
    power = _credible(_power(planes, masks, lines), _power(fine, masks, lines), broad)
    for _ in range(2):
        level = STRONG * math.sqrt(max(float(np.percentile(power, PEAK)), 1.0))
        taken = removed(level)
        lines = _lines(taken, masks)
        seen, held = _power(planes, masks, lines), _power(taken, masks, lines)
        power = _credible(np.minimum(seen, held), held, broad)
        power = np.where(radius() < LOWEST, np.maximum(power, power[ring(LOWEST)].mean()), power)
    return _correlation(power, lines)


def _credible(power: Values, fine: Values, broad: bool) -> Values:
    """The power without what structure adds at low frequencies.

    There it is no more than high frequencies lead to expect, with a margin that is the wider the more these
    differ: noise that was filtered along x and along y has S(x, y) = S(x, high)·S(high, y)/S(high, high).

    Args:
        power: on GRID, with structure.
        fine: the same where there is no fine structure.
        broad: whether high frequencies tell nothing of it.
    """
    if broad:
        return power
    y, x = (np.abs(np.fft.fftfreq(side)) > HIGH for side in GRID)
    expected = np.outer(fine[:, x].mean(axis=1), fine[y].mean(axis=0)) / fine[np.ix_(y, x)].mean()
    bands = [float(fine[band].mean()) for band in high_bands()]
    middle = float(fine[(radius() > LOW) & (radius() < 0.3)].mean())
    uneven = max(*bands, middle) / max(min(bands), 1e-9)
    if uneven > UNLIKE:  # then it tells nothing
        return power
    margin = 1 + (uneven - 1) ** 2
    return np.where(radius() < LOW, np.minimum(power, margin * expected), power)


def _correlation(power: Values, lines: tuple[float, float]) -> Correlation:
    covariance = covariance_of(power, REACH)
    variance = covariance[REACH, REACH]
    kernel = np.round(covariance / variance, 4)  # more digits than were measured
    kernel = (kernel + kernel[::-1, ::-1]) / 2
    peak = covariance.copy()
    peak[REACH] += lines[0]
    peak[:, REACH] += lines[1]
    raised = math.sqrt(float(np.percentile(power_of(tapered(peak), GRID), PEAK)))
    rows, columns = (round(line / variance, 4) for line in lines)
    std = math.sqrt(variance * (1 + rows + columns))
    return Correlation(std, raised, tuple(map(tuple, kernel.tolist())), rows, columns)


def _is_broad_noise(removed: Sequence[Values], masks: Masks) -> bool:
    """Whether what is removed at FAR times the noise's level is broad noise, and not fibres."""
    found = broadness(removed, masks)
    return found > CERTAINLY_BROAD or (found > BROAD and patchiness(removed, masks) < PATCHY)


def _power(planes: Sequence[Values], masks: Masks, lines: tuple[float, float]) -> Values:
    """Power on GRID, without that of lines."""
    covariance, _ = autocovariance(planes, masks)
    covariance[REACH] -= lines[0]
    covariance[:, REACH] -= lines[1]
    return power_of(tapered(covariance), GRID)


def _lines(planes: Sequence[Values], masks: Masks) -> tuple[float, float]:
    """Covariance of pixels far apart in a row, and in a column; 0 where it is that of any others as far."""
    rows, columns = (
        _line([turn(plane) for plane in planes], [turn(mask) for mask in masks])
        for turn in (np.asarray, np.transpose)
    )
    return rows, columns


def _line(planes: Sequence[Values], masks: Masks) -> float:
    covariance, count = autocovariance(planes, masks, (2, LINE_REACH))
    far = slice(LINE_REACH + NEAR, None)
    same, two_below, two_above = (
        float(np.average(covariance[row, far], weights=count[row, far])) if count[row, far].any() else 0.0
        for row in (2, 4, 0)
    )
    pairs = float(count[2, far].sum())
    excess = same - (two_below + two_above) / 2
    variance = covariance[2, LINE_REACH]
    near = covariance[2, LINE_REACH - REACH : LINE_REACH + REACH + 1] / max(variance, 1e-9)
    error = variance * float(np.square(near).sum()) * math.sqrt(1.5 / max(pairs, 1))
    return excess if excess > max(LEAST_LINES * variance, ERRORS * error) else 0.0


def unlikeness(kernel: Kernel, masks: Masks, removed: Sequence[Values]) -> float:
    """Largest difference between the found and the expected correlation of direct neighbours.

    Args:
        kernel: what was expected.
        masks: of dark pixels, (H, W) each.
        removed: what a denoiser of that noise removes from the planes, over the noise's standard deviation.
    """
    found, _ = autocovariance(removed, masks, (1, 1))
    if not found[1, 1] > 0:
        return 0.0
    centre = len(kernel) // 2
    expected = np.asarray(kernel)[centre - 1 : centre + 2, centre - 1 : centre + 2]
    difference = np.abs(found / found[1, 1] - expected)
    return float(max(difference[1, 2], difference[2, 1]))
