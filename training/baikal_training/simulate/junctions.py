"""The honeycomb of junctions of an epithelium, in its own plane; lengths in pixels.

A power diagram of relaxed centres (Lloyd's rounds, some too few for a regular honeycomb), drawn with
bent edges that differ in brightness and width, with puncta, and with brighter vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from baikal_training.simulate.motion import Motion
from baikal_training.simulate.packing import Points
from baikal_training.simulate.waves import WaveField

Plane = NDArray[np.float32]
Index = NDArray[np.intp]

ROUNDS = 3
SAMPLES = 40  # per cell and round of relaxation
DEPTH = 0.55  # of a cell's weight, in cell diameters
WIDTH = (0.7, 1.5)  # sigma of a junction
# (wavelength, turns per frame) of the brightness along a junction: puncta of several sizes that drift.
BEADS = ((3.6, 0.004), (5.3, -0.006), (9.1, 0.008), (17.0, 0.005))


@dataclass(frozen=True)
class Honeycomb:
    """The honeycomb of a sheet of cells.

    Attributes:
    centres: of the cells at rest (n, 2).
    lift: per cell (n,): the farther off the plane its centre is, the smaller it is.
    cell: mean diameter.
    stretch: matrix (2, 2) from the picture to the plane in which cells are round.
    bend: two fields that bend the edges.
    levels: per cell (n,), brightness of the inside.
    motion: of the sheet.
    """

    centres: Points
    lift: Points
    cell: float
    stretch: Points
    bend: tuple[WaveField, WaveField]
    levels: Plane
    motion: Motion

    @classmethod
    def random(cls, rng: Generator, extent: Points, cell: float) -> Self:
        """A sheet that covers a box (2,) around the origin's positive quadrant."""
        angle, longer = rng.uniform(0, np.pi), rng.uniform(1.0, 1.3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        stretch = turn.T @ np.diag([np.sqrt(longer), 1 / np.sqrt(longer)]) @ turn
        corners = np.array([[0, 0], [0, extent[1]], [extent[0], 0], extent]) @ stretch
        low, high = corners.min(0) - 3 * cell, corners.max(0) + 3 * cell
        count = int(np.prod(high - low) / cell**2)
        centres = _relaxed(rng, rng.uniform(low, high, (count, 2)), low, high)
        lift = DEPTH * cell * np.sqrt(rng.uniform(0, 1, count))
        lift[rng.random(count) < 0.03] = 0  # rounded up to divide: larger
        bend = tuple(WaveField.random(rng, 1.1 * cell, 2, 14) for _ in range(2))
        levels = np.exp(rng.normal(0, 0.4, count)).astype(np.float32)
        return cls(centres, lift, cell, stretch, (bend[0], bend[1]), levels, Motion.random(rng, 2))

    def draw(self, points: Plane, time: float) -> tuple[Plane, Plane]:
        """Junctions and insides of the cells (…), about 1 each, at points (2, …)."""
        shape = points.shape[1:]
        where = points.reshape(2, -1) - self.motion.displacement(points.reshape(2, -1), time)
        where = self.stretch.T @ where
        bent = where + 0.055 * self.cell * np.stack([field(where) for field in self.bend])
        centres = self.centres + self.motion.shake(len(self.centres), 2, time).T
        tree = cKDTree(np.column_stack([centres, self.lift]))
        distance, index = tree.query(np.vstack([bent, np.zeros((1, bent.shape[1]))]).T, k=3)
        squared, order = (distance**2).T, index.T
        gap = [_gap(squared, order, centres, other) for other in (1, 2)]
        junction = self._edge(bent, centres, order, gap[0], time)
        sharp = np.exp(-(gap[1] ** 2 + gap[0] ** 2) / 2 / 1.6**2)
        knots = 0.5 + _uniform(order[0] + order[1] + order[2], order[0] ^ order[1] ^ order[2], 5)
        junction = junction + 0.55 * sharp * knots
        return junction.reshape(shape).astype(np.float32), self.levels[order[0]].reshape(shape)

    def _edge(self, where: Points, centres: Points, order: Index, gap: Points, time: float) -> Points:
        """The nearest junction, seen across a Gaussian of its width."""
        one, two = np.minimum(order[0], order[1]), np.maximum(order[0], order[1])
        between = centres[two] - centres[one]
        tangent = np.stack([-between[:, 1], between[:, 0]]) / np.linalg.norm(between, axis=1)
        along = ((where - (centres[one] + centres[two]).T / 2) * tangent).sum(0)
        beads = sum(
            np.cos(2 * np.pi * (along / length + _uniform(one, two, salt) + drift * time))
            for salt, (length, drift) in enumerate(BEADS)
        )
        width = WIDTH[0] + (WIDTH[1] - WIDTH[0]) * _uniform(one, two, 6) ** 2
        level = np.exp(0.9 * (_uniform(one, two, 7) - 0.5) + 0.5 * (_uniform(one, two, 8) - 0.5))
        pulse = 1 + 0.12 * np.cos(2 * np.pi * (time / 25 + _uniform(one, two, 9)))
        return np.asarray(level * pulse * np.exp(0.28 * beads) * np.exp(-(gap**2) / 2 / width**2))


def _relaxed(rng: Generator, centres: Points, low: Points, high: Points) -> Points:
    """Lloyd's relaxation by sampling: every centre moves to the mean of the samples nearest to it."""
    for _ in range(ROUNDS):
        samples = rng.uniform(low, high, (SAMPLES * len(centres), 2))
        owner = cKDTree(centres).query(samples)[1]
        count = np.bincount(owner, minlength=len(centres))
        mean = [np.bincount(owner, axis, len(centres)) / np.maximum(count, 1) for axis in samples.T]
        centres = np.where(count[:, None] > 0, np.stack(mean, 1), centres)
    return centres


def _gap(squared: Points, order: Index, centres: Points, other: int) -> Points:
    """Distance to the border between the nearest cell and another one."""
    length = np.linalg.norm(centres[order[other]] - centres[order[0]], axis=1)
    return np.asarray((squared[other] - squared[0]) / 2 / np.maximum(length, 1e-6))


def _uniform(one: Index, two: Index, salt: int) -> Points:
    """A number within 0 … 1 that is fixed by a pair (splitmix64's finaliser)."""
    value = one.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    value ^= (two.astype(np.uint64) + np.uint64(salt << 40)) * np.uint64(0xBF58476D1CE4E5B9)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((value ^ (value >> np.uint64(31))) / 2.0**64)
