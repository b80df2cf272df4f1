"""Results as they are compared: how much noise is left in them around each pixel, and what they differ by.

More noise is left where there is structure than where all is flat: thirty times as much of its variance in
simulated nuclei. What two results differ by beyond noise is told by two numbers, of which the larger counts:
the mean square of the difference in a small window, which is that of the noise left in both where they show
the same; and the square of its mean in a wide window, in which that noise averages out, so that what becomes
brighter or darker as a whole stands out sooner. All of this varies slowly and is computed in square cells.

Planes are on the network's scale; pixels that are not finite hold no result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.surroundings import BASE_REACH, base
from baikal_deploy.pixels.arrays import Mask, Plane
from baikal_deploy.pixels.cells import CELL, cell_sums, interpolated

NARROW, WIDE, CUT = 3.0, 8.0, 3.0
"""Sigmas in pixels of the windows in which results are compared, and the sigmas at which they are cut off."""
WHOLE = 0.999
"""Share of a window that is known from which on all of it is: the blur of 1 is not quite 1."""
LEAST_KNOWN = 0.05
"""Share of a window that must be known for two planes to be compared there."""
LEAST_STRUCTURE = 1e-12
"""Variance around a pixel, over that of the noise, that is none."""


def in_cells(sigma: float) -> float:
    """Sigma of the Gaussian, in cells: a mean over a cell and linear interpolation add variances to its own.

    Args:
        sigma: of the whole, in pixels.
    """
    return math.sqrt(sigma**2 - (CELL**2 - 1) / 12 - CELL**2 / 6) / CELL


def _reach(sigma: float) -> int:
    return CELL * (int(CUT * in_cells(sigma) + 0.5) + 2)


REACH = 2 * BASE_REACH + _reach(NARROW) + 2 * _reach(WIDE)
"""Pixels that a fused pixel depends on around it: the surroundings of pixels that are filled in, the window
in which structure is told, and the windows of the differences, of which a mean over neighbours is made that
is compared in such windows again."""


@dataclass(frozen=True)
class Result:
    """A result, ready to be compared.

    Attributes:
        plane: (H, W).
        left: variance of the noise that is left in it, (H/CELL, W/CELL), rounded up.
        data: what it was made of, (H, W), finite, where that is to be averaged as well; None: it is not.
    """

    plane: Plane
    left: Plane
    data: Plane | None = None

    @classmethod
    def of(cls, plane: Plane, variance: Plane, gate: Gate, rounding: float = 0.0) -> Self:
        """A result with the noise that is left in it.

        Args:
            plane: (H, W).
            variance: of the noise of its data, (H, W).
            gate: of the channel.
            rounding: variance of what the result was rounded by, which counts as noise that is left.
        """
        noise = cells(variance)
        left = gate.share(structure(filled(plane), noise)) * noise + np.float32(rounding)
        return cls(plane, left)


def filled(plane: Plane) -> Plane:
    """A plane whose pixels without a result have the mean of what is around them.

    Args:
        plane: (H, W).
    """
    known = np.isfinite(plane)
    if known.all():
        return plane
    share = base(known.astype(np.float32))
    around = base(np.where(known, plane, np.float32(0))) / (share + np.float32(1e-3))
    return np.where(known, plane, around)


def structure(plane: Plane, noise: Plane) -> Plane:
    """Variance of a plane in the narrow window around each cell, over that of the noise.

    Args:
        plane: (H, W), finite.
        noise: variance of the noise, of each cell.
    """
    variance = window_mean(np.square(plane)) - np.square(window_mean(plane))
    found = np.divide(variance, noise, out=np.zeros_like(noise), where=noise > 0)
    return np.maximum(found, np.float32(LEAST_STRUCTURE))


def change(difference: Plane, known: Mask, variance: Plane, coarse: float) -> Plane:
    """What two planes differ by around each cell beyond noise: a variance, infinite where little is known.

    Args:
        difference: (H, W), 0 where it is not known.
        known: where it is.
        variance: of the noise in it, of each cell.
        coarse: share of it that is left in the mean over a wide window.
    """
    squares = _over(_blurred(np.square(difference), NARROW), _share(known, NARROW))
    means = _over(_blurred(difference, WIDE), _share(known, WIDE))
    beyond = np.square(means) * np.float32(1 / coarse)
    found: Plane = np.maximum(np.maximum(squares, beyond) - variance, 0)
    return found


def window_mean(plane: Plane, sigma: float = NARROW) -> Plane:
    """Mean in the Gaussian window around each cell: (H, W) -> (H/CELL, W/CELL), rounded up.

    Args:
        plane: (H, W), finite.
        sigma: NARROW or WIDE.
    """
    return _over(_blurred(plane, sigma), _share(np.ones(plane.shape, bool), sigma))


def cells(plane: Plane) -> Plane:
    """Mean of each cell: (H, W) -> (H/CELL, W/CELL), rounded up."""
    found: Plane = cell_sums(_whole(plane, "edge")) * np.float32(CELL**-2)
    return found


def between(values: Plane, shape: tuple[int, ...]) -> Plane:
    """Values of cells, interpolated to pixels: (h, w) -> (H, W).

    Args:
        values: of the cells.
        shape: (H, W).
    """
    return interpolated(values)[: shape[0], : shape[1]]


def ratio(q: Plane, beyond: Plane) -> Plane:
    """The weight q / (q + beyond) of what differs by a variance beyond noise; 0 where there is no noise.

    Args:
        q: variance of the noise.
        beyond: see ``change``.
    """
    whole = q + beyond
    found: Plane = np.divide(q, whole, out=np.zeros_like(beyond), where=whole > 0)
    return found


def _share(known: Mask, sigma: float) -> Plane | None:
    """Known pixels of the window around each cell, as ``_blurred`` counts them; None: all of every one."""
    if known.all() and not any(side % CELL for side in known.shape):
        return None
    share = _blurred(known.astype(np.float32), sigma)
    return np.where(share > WHOLE * CELL**2, np.float32(CELL**2), share)


def _over(sums: Plane, share: Plane | None) -> Plane:
    if share is None:
        return sums * np.float32(CELL**-2)
    return np.divide(sums, share, out=np.full_like(sums, np.inf), where=share > LEAST_KNOWN * CELL**2)


def _blurred(plane: Plane, sigma: float) -> Plane:
    """Sums over cells, blurred: what is beyond the plane counts as 0."""
    sums: Plane = gaussian_filter(cell_sums(_whole(plane, "constant")), in_cells(sigma), truncate=CUT)
    return sums


def _whole(plane: Plane, mode: Literal["edge", "constant"]) -> Plane:
    """A plane with whole cells."""
    padding = [(0, -side % CELL) for side in plane.shape]
    return np.pad(plane, padding, mode=mode) if any(pad for _, pad in padding) else plane
