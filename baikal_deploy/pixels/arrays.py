"""Arrays of pixels: what they are called, their module and device, and blocks of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Raw = NDArray[Any]
"""Pixels of any real dtype, in raw units: planes (N, H, W), or one plane or window (H, W)."""
Plane = NDArray[np.float32]
"""One plane (H, W) on the network's scale, where the percentiles of a channel are about −1 and 1."""
Planes = NDArray[np.float32]
"""Planes on the network's scale: (N, 1, H, W), or (N, H, W) where it says so; NumPy's, or a device's."""
Values = NDArray[np.float64]
"""Numbers that are computed with, of any shape."""
Mask = NDArray[np.bool_]
"""Marked pixels: of a plane (H, W), or of planes (N, H, W)."""
Region = tuple[slice, slice]
"""Rows and columns of a plane; both slices have a start and a stop."""

BLOCK_PIXELS = 2**15
"""Pixels of a block that stays in a core's cache: 256 kB in float64."""


def blocks(size: int) -> Iterator[slice]:
    """Slices that cover ``size`` elements; large arrays take longer to fetch than to compute with."""
    for start in range(0, size, BLOCK_PIXELS):
        yield slice(start, start + BLOCK_PIXELS)


def array_namespace(array: Any) -> Any:
    """The module whose functions take this array and return others like it (https://data-apis.org/array-api)."""
    if isinstance(array, np.ndarray):
        return np  # the wrapper that array_api_compat has for it takes longer to import than NumPy itself
    import array_api_compat

    return array_api_compat.array_namespace(array)


def device(array: Any) -> Any:
    """Device that an array is on, as ``device=`` of the functions that make arrays takes it."""
    if isinstance(array, np.ndarray):
        return None
    import array_api_compat

    return array_api_compat.device(array)
