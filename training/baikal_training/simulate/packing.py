"""Points that keep their distance, as the nuclei of a tissue do; lengths in pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.float64]
PACKING = 0.5
"""Share of space inside the spheres at the start; random close packing is 0.64."""
ROUNDS = 12


def packed(rng: Generator, extent: Points, distance: Callable[[Points], Points]) -> tuple[Points, Points]:
    """Random points in a box, pushed apart until few are closer than the distance wanted there.

    Args:
        extent: size of the box (dimensions,).
        distance: wanted distance to the neighbours (n,) at points (n, dimensions).

    Returns:
        Points (n, dimensions), and the distance wanted at each (n,).
    """
    probe = distance(rng.uniform(0, extent, (512, len(extent))))
    smallest = probe.min()
    ball = np.pi / 6 if len(extent) == 3 else np.pi / 4
    count = rng.poisson(PACKING * np.prod(extent) / (ball * smallest ** len(extent)))
    points = rng.uniform(0, extent, (count, len(extent)))
    wanted = np.maximum(distance(points), smallest)
    keep = rng.random(count) < (smallest / wanted) ** len(extent)
    points, wanted = points[keep], wanted[keep]
    for _ in range(ROUNDS):
        points = np.clip(points + _push(points, wanted), 0, extent)
    return points, wanted


def _push(points: Points, wanted: Points) -> Points:
    """A step (n, dimensions) that takes away half of every pair's overlap."""
    if len(points) < 2:
        return np.zeros_like(points)
    first, second = neighbours(points, float(wanted.max()))
    offset = points[first] - points[second]
    length = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
    overlap = np.maximum((wanted[first] + wanted[second]) / 2 - length, 0)
    step = offset * (overlap / length / 4)[:, None]
    axes = [np.bincount(first, part, len(points)) - np.bincount(second, part, len(points)) for part in step.T]
    return np.stack(axes, 1)


def neighbours(points: Points, reach: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every pair of points closer than `reach`, once: two index arrays."""
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    return pairs[:, 0], pairs[:, 1]
