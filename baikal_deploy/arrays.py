"""The array module of planes: NumPy's, or that of a device (the array API, https://data-apis.org/array-api)."""

from __future__ import annotations

from typing import Any

import numpy as np


def array_namespace(array: Any) -> Any:
    """The module whose functions take this array and return others like it."""
    if isinstance(array, np.ndarray):
        return np  # the wrapper that array_api_compat has for it takes longer to import than NumPy itself
    import array_api_compat

    return array_api_compat.array_namespace(array)


def device(array: Any) -> Any:
    """Where an array is, as ``device=`` of the functions that make arrays takes it."""
    if isinstance(array, np.ndarray):
        return None
    import array_api_compat

    return array_api_compat.device(array)
