"""The blur that tells a pixel's surroundings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from baikal_deploy.pixels.arrays import Raw, Values
from baikal_deploy.pixels.cells import CELL, cell_sums, interpolated

BASE_SIGMA = 4.0
"""Sigma of the blur, in pixels, that tells the noise of a pixel's surroundings."""
CELL_SIGMA = math.sqrt(BASE_SIGMA**2 - (CELL**2 - 1) / 12 - CELL**2 / 6) / CELL
"""Sigma of the Gaussian, in cells: a mean over a cell and linear interpolation add variances to its own."""
CUT = 3
"""Standard deviations at which the Gaussian is cut off."""
BASE_REACH = CELL * (int(CUT * CELL_SIGMA + 0.5) + 2)
"""Pixels that the blur looks around."""


def base(plane: Raw) -> NDArray[Any]:
    """The mean intensity around each pixel: (H, W) -> (H, W), of the same real dtype.

    A Gaussian of BASE_SIGMA pixels, computed on cells in a fraction of the time: the cells' means and the
    interpolation between them blur as well, and the Gaussian does the rest.
    """
    height, width = plane.shape
    smooth = gaussian_filter(_cell_means(plane), CELL_SIGMA, truncate=CUT)
    return interpolated(smooth)[:height, :width]


def local_mean(plane: Raw) -> NDArray[Any]:
    """Means over cells, interpolated: (H, W) -> (H, W), of the same real dtype; half as wide as ``base``."""
    height, width = plane.shape
    return interpolated(_cell_means(plane))[:height, :width]


def _cell_means(plane: Raw) -> NDArray[Any]:
    padding = [(0, -side % CELL) for side in plane.shape]
    whole = np.pad(plane, padding, mode="edge") if any(pad for _, pad in padding) else plane
    means: NDArray[Any] = cell_sums(whole) * plane.dtype.type(CELL**-2)
    return means


SMALL = 1e-3
"""Share of known pixels around one beside which the typical intensity counts as much."""


def known_base(plane: Raw, typical: float | None = None) -> Values:
    """The mean intensity around each pixel of what is known there: (H, W) -> (H, W), float64.

    Args:
        plane: with NaN where nothing is known; without any this is ``base``.
        typical: intensity where nothing is known far around; None: the mean of the plane.
    """
    values = plane.astype(np.float64)
    unknown = np.isnan(values)
    if not unknown.any():
        return base(values)
    if typical is None:
        typical = 0.0 if unknown.all() else float(values[~unknown].mean())
    share = base((~unknown).astype(np.float64))
    around: Values = base(np.where(unknown, 0, values - typical)) / (share + SMALL) + typical
    return around


def filled_in(plane: Raw, unknown: NDArray[np.bool_], typical: float) -> Raw:
    """A plane whose unknown pixels have the mean intensity around them, and so no edge.

    Args:
        plane: (H, W).
        unknown: its pixels that say nothing.
        typical: intensity far from any other.
    """
    around = known_base(np.where(unknown, np.nan, plane), typical)
    return np.where(unknown, around, plane).astype(np.result_type(plane, np.float32))
