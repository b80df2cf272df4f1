"""Cells that lie side by side, seen from above; lengths in pixels.

Each cell reaches as far as a radius that depends on the direction. A place belongs to the cell that
has to stretch least to get there, so that borders are curved, and cells that need not touch end in
the dark. (A diagram of Voronoi or of power has straight borders: see junctions.py.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.simulate.grain import Plane, grain
from baikal_training.simulate.packing import Points, packed

Index = NDArray[np.intp]
DIRECTIONS = np.linspace(0, 2 * np.pi, 181)
FAR = np.float32(1.3)
"""The longest reach that is looked at; places that no cell is near have it."""


@dataclass(frozen=True)
class Habit:
    """How cells grow.

    Attributes:
        distance: mean between neighbours.
        spread: of the logarithm of their sizes; large and small ones come in patches.
        fill: reach of a cell over half the distance; above 1.5 few gaps are left.
        share: of the places that are taken.
        longer: length over width.
        aligned: True where neighbours are elongated the same way.
        lobes: depth of the undulations of the outline.
        tips: processes of a cell.
        rough: depth of the small bends of the borders.
    """

    distance: float
    spread: float
    fill: float
    share: float
    longer: float
    aligned: bool
    lobes: float
    tips: int
    rough: float

    @classmethod
    def adherent(cls, rng: Generator, nearest: float, farthest: float) -> Self:
        """Cells on a cover slip: some touch, some lie apart; their distance is between the two."""
        return cls(
            distance=float(np.exp(rng.uniform(np.log(nearest), np.log(farthest)))),
            spread=0.1,
            fill=rng.uniform(0.85, 1.6),
            share=rng.uniform(0.65, 1.0),
            longer=rng.uniform(1.0, 2.5),
            aligned=bool(rng.random() < 0.35),
            lobes=rng.uniform(0.1, 0.45),
            tips=int(rng.integers(0, 5)),
            rough=0.0,
        )


@dataclass(frozen=True)
class Culture:
    """Cells in a plane.

    Attributes:
        owner: of each place, -1 outside the cells (Y, X).
        other: the cell that is next to own it, -1 where there is none (Y, X).
        reach: 0 at the centre of the owner, 1 at its free outline (Y, X).
        free: distance to that outline, negative outside (Y, X).
        shared: distance to the border with the other cell (Y, X).
        nucleus: 0 at the centre of the owner's nucleus, 1 at its outline (Y, X).
        centres: of the nuclei (n, 2).
        angles: direction of the long axis (n,).
        sizes: mean radius (n,).
        levels: brightness (n,), about 1.
    """

    owner: Index
    other: Index
    reach: Plane
    free: Plane
    shared: Plane
    nucleus: Plane
    centres: Points
    angles: Points
    sizes: Points
    levels: Points

    @classmethod
    def random(cls, rng: Generator, shape: tuple[int, int], habit: Habit) -> Self:
        """Cells around and within a plane (Y, X); one at least is near the middle."""
        centres, sizes = _places(rng, shape, habit)
        common = rng.uniform(0, np.pi)
        angles = rng.normal(common, 0.25 if habit.aligned else 3.0, len(centres))
        radii = np.stack([_outline(rng, habit) for _ in centres]) * sizes[:, None]
        reach, second, owner, other = _contest(_grid(rng, shape, habit.rough), centres, angles, radii)
        free = (1 - reach) / _steepness(reach)
        shared = (second - reach) / _steepness(second - reach)
        centres = centres + rng.normal(0, 0.1, centres.shape) * sizes[:, None]
        nucleus = _nuclei(rng, owner, centres, angles, sizes)
        levels = np.exp(rng.normal(0, rng.uniform(0.1, 0.6), len(centres)))
        owner = np.where(free > 0, owner, -1)
        return cls(owner, other, reach, free, shared, nucleus, centres, angles, sizes, levels)

    @property
    def edge(self) -> Plane:
        """Distance to the nearest border, 0 outside the cells (Y, X)."""
        return np.maximum(np.minimum(self.free, self.shared), 0)

    def level(self) -> Plane:
        """Brightness of the cell of each place, 0 outside (Y, X)."""
        return np.where(self.owner >= 0, self.levels[self.owner], 0).astype(np.float32)


def _places(rng: Generator, shape: tuple[int, int], habit: Habit) -> tuple[Points, Points]:
    """Centres of cells (n, 2) in and around a plane, and their mean radii (n,)."""
    margin, patches = 1.5 * habit.distance, grain(rng, (64, 64), 5.0)
    extent = np.array(shape) + 2 * margin

    def distance(points: Points) -> Points:
        row, column = (points / extent * 63).astype(int).T
        return np.asarray(habit.distance * np.exp(habit.spread * np.clip(patches[row, column], -1.5, 1.5)))

    centres, wanted = packed(rng, extent, distance)
    if not len(centres):
        centres, wanted = extent[None] / 2, np.array([habit.distance])
    middle = ((centres - extent / 2) ** 2).sum(1).argmin()
    keep = rng.random(len(centres)) < habit.share
    keep[middle] = True  # and well into the plane, so that no picture is empty
    centres = centres - margin
    low, high = 0.3 * np.array(shape), 0.7 * np.array(shape)
    centres = centres + np.clip(centres[middle], low, high) - centres[middle]
    sizes = habit.fill * wanted / 2 * np.exp(rng.normal(0, 0.15, len(wanted)))
    return centres[keep], sizes[keep]


def _outline(rng: Generator, habit: Habit) -> Points:
    """Radius in each of the DIRECTIONS, about 1; direction 0 is the long axis."""
    across, along = np.sin(DIRECTIONS) * np.sqrt(habit.longer), np.cos(DIRECTIONS) / np.sqrt(habit.longer)
    radius = 1 / np.hypot(across, along)
    for wave in range(2, 8):
        swell = habit.lobes * rng.normal() / wave * np.cos(wave * DIRECTIONS + rng.uniform(0, 2 * np.pi))
        radius = radius * np.exp(swell)
    for _ in range(rng.poisson(habit.tips) if habit.tips else 0):
        towards = np.cos(DIRECTIONS - rng.uniform(0, 2 * np.pi)) - 1
        radius = radius * (1 + rng.uniform(0.2, 0.9) * np.exp(rng.uniform(6, 60) * towards))
    return np.asarray(radius)


def _grid(rng: Generator, shape: tuple[int, int], rough: float) -> Plane:
    """Coordinates (2, Y, X), displaced by small bends."""
    grid = np.indices(shape, np.float32)
    if rough:
        bends = [0.6 * grain(rng, shape, 2.5) + 0.8 * grain(rng, shape, 6.0) for _ in range(2)]
        grid += np.float32(rough) * np.stack(bends)
    return grid


def _contest(
    grid: Plane, centres: Points, angles: Points, radii: Points
) -> tuple[Plane, Plane, Index, Index]:
    """The least reach at each place, the second least, and whose they are: four (Y, X)."""
    shape = grid.shape[1:]
    first, second = np.full(shape, FAR), np.full(shape, FAR)
    owner, other = np.full(shape, -1), np.full(shape, -1)
    for cell, (centre, angle, radius) in enumerate(zip(centres, angles, radii, strict=True)):
        far = FAR * radius.max() + 2
        low = np.clip(np.floor(centre - far), 0, shape).astype(int)
        high = np.clip(np.ceil(centre + far), 0, shape).astype(int)
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        down, right = grid[0][box] - centre[0], grid[1][box] - centre[1]
        towards = np.mod(np.arctan2(down, right) - angle, 2 * np.pi)
        reach = np.hypot(down, right) / np.interp(towards, DIRECTIONS, radius)
        reach = np.minimum(reach, FAR).astype(np.float32)
        wins, next_best = reach < first[box], reach < second[box]
        second[box] = np.where(wins, first[box], np.where(next_best, reach, second[box]))
        other[box] = np.where(wins, owner[box], np.where(next_best, cell, other[box]))
        first[box], owner[box] = np.where(wins, reach, first[box]), np.where(wins, cell, owner[box])
    return first, second, owner, other


def slopes(field: Plane) -> Plane:
    """The gradient (2, Y, X) of a plane."""
    return np.asarray(np.gradient(field), np.float32)


def _steepness(field: Plane) -> Plane:
    return np.maximum(np.hypot(*slopes(field)), np.float32(1e-3))


def _nuclei(rng: Generator, owner: Index, centres: Points, angles: Points, sizes: Points) -> Plane:
    """Distance from the centre of the owner's nucleus over that of its outline (Y, X)."""
    radii = rng.uniform(0.28, 0.45) * sizes * np.exp(rng.normal(0, 0.1, len(sizes)))
    slim = rng.uniform(0.6, 1.0, len(sizes))
    down, right = np.indices(owner.shape) - centres.T[:, owner]
    cos, sin = np.cos(angles)[owner], np.sin(angles)[owner]
    along, across = right * cos + down * sin, (down * cos - right * sin) / slim[owner]
    return np.where(owner >= 0, np.hypot(along, across) / radii[owner], FAR).astype(np.float32)
