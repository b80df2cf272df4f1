"""``AdaptiveBase`` as nodes: the mean intensity around each pixel, from as near as the noise allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.adaptive_base import LEAST_POWER, OWN, REACH
from baikal_deploy.measurement.surroundings import _WEIGHTS
from baikal_deploy.pixels.cells import CELL
from baikal_export.fused.nodes import Value

ROWS, COLUMNS = 2, 3
"""Axes of planes (N, 1, H, W)."""


def around(planes: Value, noise: Callable[[Value], Value]) -> tuple[Value, Value]:
    """The means around the pixels of planes, and the shares of the pixels themselves in them.

    Args:
        planes: (N, 1, H, W).
        noise: see ``AdaptiveBase.rows``.
    """
    base = base_of(planes)
    detail = _near(planes) - base
    power = cell_means(detail * detail).at_least(float(LEAST_POWER))
    structure = (1.0 - noise(base) / between_cells(power, planes)).at_least(0.0)
    return base + structure * detail, structure * OWN


def base_of(planes: Value) -> Value:
    """See ``surroundings.base``."""
    return between_cells(blurred(cell_means(planes), _WEIGHTS), planes)


def cell_means(planes: Value, beyond: str = "edge") -> Value:
    """Means over cells.

    Args:
        planes: (N, 1, H, W).
        beyond: "edge": the planes go on with their last pixels; "constant": with zeros.
    """
    nodes = planes.nodes
    margins = [(-planes.side(axis)) for axis in (ROWS, COLUMNS)]
    margins = [nodes.op("Mod", margin, nodes.ints(CELL)) for margin in margins]
    shaped = [nodes.op("Reshape", margin, nodes.ints([1])) for margin in margins]
    pads = nodes.op("Concat", nodes.ints([0] * 6), *shaped, axis=0)
    whole = nodes.op("Pad", planes, pads, mode=beyond)
    return nodes.op("AveragePool", whole, kernel_shape=[CELL, CELL], strides=[CELL, CELL])


def blurred(cells: Value, half: NDArray[np.float64]) -> Value:
    """Cells blurred along both axes; they are reflected at their edges, the last ones too.

    Args:
        cells: (N, 1, rows, columns).
        half: weights of a cell itself, and of those on each side.
    """
    nodes, reach = cells.nodes, len(half) - 1
    weights = np.concatenate([half[:0:-1], half]).astype(np.float32)
    for axis, shape in ((ROWS, (1, 1, -1, 1)), (COLUMNS, (1, 1, 1, -1))):
        side = cells.side(axis)
        end = side + nodes.ints(reach)
        along = nodes.op("Range", nodes.ints(-reach), end, nodes.ints(1))
        phase = nodes.op("Mod", along, side * nodes.ints(2))
        back = side * nodes.ints(2) - nodes.ints(1) - phase
        edged = cells.taken(axis, nodes.op("Min", phase, back))
        cells = nodes.op("Conv", edged, nodes.constant(weights.reshape(shape)))
    return cells


def between_cells(cells: Value, planes: Value) -> Value:
    """Linear interpolation from the centres of cells to the pixels of planes."""
    nodes = planes.nodes
    scales = nodes.constant([1.0, 1.0, CELL, CELL])
    pixels = nodes.op("Resize", cells, _nothing(cells), scales, mode="linear")
    for axis in (ROWS, COLUMNS):
        pixels = pixels.part(axis, 0, nodes.op("Reshape", planes.side(axis), nodes.ints([1])))
    return pixels


def _nothing(cells: Value) -> Value:
    """The place of an input that is not given."""
    return Value(cells.nodes, "")


def _near(planes: Value) -> Value:
    """Planes blurred by one pixel; beyond them are their last pixels."""
    nodes = planes.nodes
    pads = nodes.ints([0, 0, REACH, REACH, 0, 0, REACH, REACH])
    blurred = nodes.op("Pad", planes, pads, mode="edge")
    for axis in (ROWS, COLUMNS):
        for _ in range(2 * REACH):  # the sum of two neighbours, so many times, has binomial weights
            blurred = blurred.part(axis, 1, 2**62) + blurred.part(axis, 0, -1)
    return blurred * 2.0 ** (-4 * REACH)


def reflected(places: Value, side: Value) -> Value:
    """Places along an axis, reflected where they lie beyond its first or last pixel, as often as it takes."""
    nodes = side.nodes
    last = side - nodes.ints(1)
    phase = nodes.op("Mod", places, (last * nodes.ints(2)).at_least(nodes.ints(1)))
    return last - (last - phase).abs()


def gaussian(sigma: float, truncate: float = 4) -> NDArray[np.float64]:
    """Weights of a Gaussian in its middle and on each side of it, as ``scipy.ndimage`` has them."""
    weights = np.exp(-0.5 * (np.arange(int(truncate * sigma + 0.5) + 1) / sigma) ** 2)
    found: NDArray[np.float64] = weights / (2 * weights.sum() - 1)
    return found
