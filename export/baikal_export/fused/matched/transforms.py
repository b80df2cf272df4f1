"""Fourier transforms of small kernels as nodes: products with cosines and sines.

ONNX's operator DFT is missing from many back ends.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from baikal_export.fused.nodes import Value

_Wave = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Cosine or sine."""


def power_of(covariance: Value, reach: int, side: int) -> Value:
    """See ``spectrum.power_of``, but for its bound: (side, side).

    Args:
        covariance: at the distances up to ``reach`` along both axes.
        reach: in pixels.
        side: of the grid of frequencies.
    """
    return _transformed(covariance, lambda wave: _waves(wave, reach, side))


def covariance_of(power: Value, reach: int, side: int) -> Value:
    """See ``spectrum.covariance_of``; the arguments are those of ``power_of``."""
    return _transformed(power, lambda wave: _waves(wave, reach, side).T) * (1 / side**2)


def power_of_line(covariance: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The power of what a line shares at each frequency along it."""
    return _waves(np.cos, len(covariance) // 2, side) @ covariance


def _waves(wave: _Wave, reach: int, side: int) -> NDArray[np.float64]:
    """A wave of each frequency at the distances up to a reach: (side, 2·reach + 1)."""
    distances = np.arange(-reach, reach + 1, dtype=np.float64)
    return wave(2 * np.pi / side * np.outer(np.arange(side, dtype=np.float64), distances))


def _transformed(values: Value, waves: Callable[[_Wave], NDArray[np.float64]]) -> Value:
    """Transformed along both axes; values are the same at opposite places."""
    even, odd = (_between(values, waves(wave)) for wave in (np.cos, np.sin))
    return even - odd


def _between(values: Value, matrix: NDArray[np.float64]) -> Value:
    nodes = values.nodes
    product = nodes.op("MatMul", nodes.constant(matrix), values)
    return nodes.op("MatMul", product, nodes.constant(matrix.T))
