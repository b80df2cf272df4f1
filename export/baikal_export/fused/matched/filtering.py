"""``_spectral.filtered`` as nodes: planes convolved with a large kernel, reflected at their edges."""

from __future__ import annotations

import numpy as np

from baikal_export.fused.matched.surroundings import COLUMNS, ROWS, reflected
from baikal_export.fused.nodes import Value

_PHASES = 8
"""Pixels along each axis that are computed together. Each has a shifted copy of the kernel, and is a channel
of one strided convolution: with a kernel of 65 x 65 that takes a seventh of the time of a plain one."""


def filtered(planes: Value, kernel: Value) -> Value:
    """Planes (N, 1, H, W) convolved with a kernel.

    Args:
        planes: to be filtered.
        kernel: (1, 1, side, side) of an odd side, the same at opposite places.
    """
    nodes, side = planes.nodes, kernel.side(ROWS)
    sides = [planes.side(axis) for axis in (ROWS, COLUMNS)]
    blocks = [(one + nodes.ints(_PHASES - 1)) / nodes.ints(_PHASES) for one in sides]
    reach, padded = side / nodes.ints(2), planes
    for axis, one, count in zip((ROWS, COLUMNS), sides, blocks, strict=True):
        along = nodes.op("Range", -reach, count * nodes.ints(_PHASES) + reach, nodes.ints(1))
        padded = padded.taken(axis, reflected(along, one))
    phases = nodes.op("Conv", padded, _shifted(kernel), strides=[_PHASES, _PHASES])
    whole = nodes.op("DepthToSpace", phases, blocksize=_PHASES)
    for axis, one in zip((ROWS, COLUMNS), sides, strict=True):
        whole = whole.part(axis, 0, nodes.op("Reshape", one, nodes.ints([1])))
    return whole


def _shifted(kernel: Value) -> Value:
    """The kernel for each phase: (_PHASES², 1, side + _PHASES − 1, side + _PHASES − 1)."""
    nodes, margin = kernel.nodes, _PHASES - 1
    wider = nodes.op("Pad", kernel, nodes.ints([0, 0, margin, margin] * 2))
    along = nodes.op("Range", nodes.ints(0), kernel.side(ROWS) + nodes.ints(margin), nodes.ints(1))
    places = along + nodes.ints(margin - np.arange(_PHASES)[:, None])
    shifted = wider.taken(ROWS, places).taken(COLUMNS + 1, places)  # (1, 1, phase, row, phase, column)
    ordered = nodes.op("Transpose", shifted, perm=[2, 4, 0, 3, 1, 5])
    size = nodes.op("Reshape", along.size(), nodes.ints([1]))
    shape = nodes.op("Concat", nodes.ints([_PHASES**2, 1]), size, size, axis=0)
    return nodes.op("Reshape", ordered, shape)
