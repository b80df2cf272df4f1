"""Clean planes of three specimens that no shipped model has learnt: what your_own.py shows to one.

muscle   Z discs of striated muscle: rows of short lines across its fibrils, each fibril a little out of step.
axons    myelin of a nerve cut across: closely packed rings of many sizes.
vessels  blood vessels: filled trees that branch and taper, over a haze.

Planes of one specimen are of one kind, as those of one experiment are: sizes, brightness and directions vary
a little from plane to plane. Lengths are in pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Plane = NDArray[np.float64]

BLUR, SKIRT, SKIRT_SHARE = 0.8, 5.0, 0.15
"""Sigma of the light in focus, of that beside it, and the share of the latter."""
BRIGHTEST = 99.9
"""Percentile of a plane that becomes 1."""


def plane(specimen: str, side: int, seed: int) -> NDArray[np.float32]:
    """A clean plane (side, side) of one of SPECIMENS, within 0 … 1."""
    rng = default_rng([list(SPECIMENS).index(specimen), seed])
    painted = SPECIMENS[specimen](rng, side)
    seen = (1 - SKIRT_SHARE) * gaussian_filter(painted, BLUR) + SKIRT_SHARE * gaussian_filter(painted, SKIRT)
    return np.clip(0.03 + 0.97 * seen / np.percentile(seen, BRIGHTEST), 0, 1).astype(np.float32)


def _smooth(rng: Generator, side: int, scale: float) -> Plane:
    """A random field of standard deviation 1 that changes over `scale` pixels."""
    field = gaussian_filter(rng.standard_normal((side, side)), scale, mode="wrap")
    return np.asarray(field / field.std())


def muscle(rng: Generator, side: int) -> Plane:
    """Z discs: `along` counts pixels along the fibrils, `across` beside them."""
    y, x = np.mgrid[:side, :side]
    angle, period, width = rng.uniform(0, np.pi), rng.uniform(6.5, 8), rng.uniform(6, 8)
    along = x * np.cos(angle) + y * np.sin(angle) + 5 * _smooth(rng, side, 40)
    across = y * np.cos(angle) - x * np.sin(angle) + 8 * _smooth(rng, side, 40)
    fibril = np.floor(across / width).astype(int)
    fibril -= fibril.min()
    step = np.cumsum(rng.normal(0, 0.12, fibril.max() + 1))
    level = np.exp(0.3 * rng.standard_normal(fibril.max() + 1))
    place = along / period + step[fibril]
    discs = np.exp(-((place - np.round(place)) ** 2) / 2 / 0.13**2)
    inside = np.abs(np.sin(np.pi * across / width)) ** 0.4
    thick = np.abs(np.sin(np.pi * (across + rng.uniform(0, 60)) / rng.uniform(55, 75))) > 0.12
    return np.asarray((discs + 0.08) * inside * level[fibril] * thick * np.exp(0.2 * _smooth(rng, side, 12)))


def axons(rng: Generator, side: int) -> Plane:
    """Rings that do not overlap: the largest are laid first."""
    radii = np.sort(np.clip(rng.lognormal(np.log(6.5), 0.55, side * side // 40), 3, 22))[::-1]
    centres, sizes = np.empty((0, 2)), np.empty(0)
    for radius in radii:
        tried = rng.uniform(-10, side + 10, (8, 2))
        apart = np.linalg.norm(tried[:, None] - centres[None], axis=-1) - sizes - radius
        free = np.flatnonzero(apart.min(axis=1, initial=np.inf) > 0.5)
        if len(free):
            centres, sizes = np.vstack([centres, tried[free[0]]]), np.append(sizes, radius)
    y, x = np.mgrid[:side, :side] + 3 * np.stack([_smooth(rng, side, 9), _smooth(rng, side, 9)])
    painted = np.zeros((side, side))
    for centre, radius in zip(centres, sizes, strict=True):
        distance = np.hypot(y - centre[0], x - centre[1])
        sheath = (distance < radius) & (distance > radius * rng.uniform(0.6, 0.75) - 0.4)
        painted[sheath] = np.exp(0.2 * rng.standard_normal())
    return painted * np.exp(0.15 * _smooth(rng, side, 6)) + 0.05


def vessels(rng: Generator, side: int) -> Plane:
    """Trees that enter from the rim; each point of a branch is a sphere of light, seen from above."""
    painted = np.zeros((side, side))
    for _ in range(max(2, side // 60)):
        angle = rng.uniform(0, 2 * np.pi)
        start = side / 2 * (1 - 1.2 * np.array([np.sin(angle), np.cos(angle)]))
        _branch(rng, painted, start, angle + rng.normal(0, 0.3), rng.uniform(4, 7))
    return painted + 0.15 * gaussian_filter(painted, 12) + 0.02


def _branch(rng: Generator, painted: Plane, place: Plane, heading: float, radius: float) -> None:
    turn = 0.0
    while radius > 0.7:
        turn = 0.9 * turn + rng.normal(0, 0.03)
        heading += turn
        place = place + np.array([np.sin(heading), np.cos(heading)])
        if not (np.abs(place / len(painted) - 0.5) < 0.8).all():
            return
        _lay(painted, place, radius)
        radius *= 0.9965
        if rng.random() < 0.03:
            _branch(rng, painted, place, heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1), 0.7 * radius)
            radius *= 0.92


def _lay(painted: Plane, place: Plane, radius: float) -> None:
    """Lay a sphere of light where it is brighter than what is there."""
    first = np.maximum(np.floor(place - radius - 1).astype(int), 0)
    last = np.ceil(place + radius + 2).astype(int)
    window = painted[first[0] : max(last[0], 0), first[1] : max(last[1], 0)]
    y, x = np.mgrid[: window.shape[0], : window.shape[1]]
    away = np.hypot(y + first[0] - place[0], x + first[1] - place[1])
    depth = np.sqrt(np.maximum(1 - (away / (radius + 0.5)) ** 2, 0)) * min(radius / 2, 1.5)
    np.maximum(window, depth, out=window)


SPECIMENS: dict[str, Callable[[Generator, int], Plane]] = {
    "muscle": muscle,
    "axons": axons,
    "vessels": vessels,
}
