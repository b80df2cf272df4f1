"""How much noise is left in results: by their probes, and by what frames differ by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from baikal_deploy.denoising.compared import NARROW, WIDE, Result, cells, window_mean
from baikal_deploy.denoising.probes import Ready, Seen, known_in
from baikal_deploy.measurement.gate import Fuse, Gate
from baikal_deploy.pixels.arrays import Mask, Plane, Raw

MOST_RAISED = 4.0
"""Most that the standard deviation is raised by what results of the data differ by."""
EDGES = (0.25, 0.5, 0.65, 0.75, 0.82, 0.88, 0.93, 0.97)
"""Shares of all cells between which they are grouped by structure: few have much of it."""
LEAST_CELLS = 16
"""Cells of a group, at least, that tell how much noise is left there."""


def of_probes(seen: Sequence[Seen], axes: Fuse) -> Gate:
    """A gate that knows how much noise is left in results, and lets nothing through.

    Args:
        seen: places whose results were probed.
        axes: along which results are to be fused.
    """
    closed = Gate.closed(axes)
    if not seen or not (left := float(np.mean([one.left for one in seen]))) > 0:
        return closed
    around, squares, noise = (
        np.concatenate(found) for found in zip(*(one.by_structure for one in seen), strict=True)
    )
    shares = _shares(around, squares, noise, left)
    if not shares:
        return closed
    coarse = float(np.mean([one.coarse for one in seen]))
    return replace(closed, left=left, shares=shares, coarse=dict.fromkeys(axes, coarse))


def _shares(around: Raw, squares: Raw, noise: Raw, left: float) -> tuple[tuple[float, float], ...]:
    """Share of the noise that is left by structure; see ``Gate.shares``.

    It is the geometric mean of what is left in cells with as much structure and what is left in all: a flash
    is structure, and by the first alone it would be taken for noise.

    Args:
        around, squares, noise: see ``Seen.by_structure``.
        left: share that is left in all.
    """
    order = np.argsort(around, kind="stable")
    groups = np.split(order, sorted({int(edge * len(order)) for edge in EDGES}))
    found, highest = list[tuple[float, float]](), 0.0
    for group in (group for group in groups if len(group) >= LEAST_CELLS):
        place = float(np.sqrt(np.sqrt(around[group].mean(dtype=np.float64))))
        share = float(squares[group].sum(dtype=np.float64) / noise[group].sum(dtype=np.float64))
        highest = max(highest, share)
        if not found or place > found[-1][0]:
            found.append((place, math.sqrt(highest * left)))
    return tuple(found)


def raised(ready: Sequence[Ready]) -> tuple[float, float]:
    """Factors on the variance of the noise that is left, by what results differ by where nothing changes.

    Half the mean square of what two frames differ by is the noise that is left, and what has changed, which
    grows with the time between them: the line through the medians at one and at two frames says what it is
    at none (the nugget of a variogram; Matheron 1963). It is compared to the median of what the probes say,
    as more is left in some places than in others. Noise that the measurement does not know is in there: of
    lines, or of a lamp, it is left in means over wide windows far more than elsewhere.

    Args:
        ready: places with neighbours along t.

    Returns:
        That on its squares, and that on the squares of its means over wide windows.
    """
    squares, means = (_factor([_differences(one, sigma) for one in ready]) for sigma in (NARROW, WIDE))
    return squares, means


def _factor(found: Sequence[tuple[Raw, Raw, Raw]]) -> float:
    probed, one, two = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not two.size or not np.median(probed) > 0:
        return 1.0
    factor = (2 * np.median(one) - np.median(two)) / np.median(probed)
    return min(max(float(factor), 1.0), MOST_RAISED**2)


def _differences(ready: Ready, sigma: float) -> tuple[Raw, Raw, Raw]:
    """Noise left around each cell, over what the probes say there: by these, and by frames one and two apart.

    By its squares in narrow windows, or by the squares of its means in wide ones.
    """
    before, after = ready.sides["t"]
    row = [*reversed(before), ready.own, *after]
    probed = _noise(ready.seen.left_over, ready.seen.counted, ready.own.left, sigma)
    one, two = (
        np.concatenate([np.empty(0), *(_half(*pair, sigma) for pair in zip(row, row[lag:], strict=False))])
        for lag in (1, 2)
    )
    return probed, one, two


def _half(first: Result, second: Result, sigma: float) -> Raw:
    """The same by half of what two results differ by."""
    known = known_in(first.plane, second.plane)
    difference = np.subtract(second.plane, first.plane, out=np.zeros_like(first.plane), where=known)
    return _noise(difference, known, 2 * first.left, sigma)


def _noise(difference: Plane, known: Mask, expected: Plane, sigma: float) -> Raw:
    square = np.square(window_mean(difference, sigma))
    if sigma == NARROW:
        square = window_mean(np.square(difference))
    whole = (cells(known.astype(np.float32)) == 1) & (expected > 0)
    found: Raw = square[whole] / expected[whole]
    return found
