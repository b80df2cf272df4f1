"""The blur that tells a pixel's surroundings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from baikal_deploy.pixels.arrays import Raw
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
    padding = [(0, -side % CELL) for side in plane.shape]
    whole = np.pad(plane, padding, mode="edge") if any(pad for _, pad in padding) else plane
    means = cell_sums(whole) * plane.dtype.type(CELL**-2)
    smooth = gaussian_filter(means, CELL_SIGMA, truncate=CUT)
    return interpolated(smooth)[:height, :width]
