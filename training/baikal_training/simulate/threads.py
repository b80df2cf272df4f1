"""Threads that grow through cells, step by step: filaments, bundles, tubes; lengths in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.simulate.culture import Index
from baikal_training.simulate.grain import Plane
from baikal_training.simulate.packing import Points

STEP = 0.8
MEMORY = 0.9
"""Share of a thread's curvature that is left after a step."""
WALL = 6.0
"""Distance from a border at which threads turn away."""


@dataclass(frozen=True)
class Growth:
    """How threads grow.

    Attributes:
        steps: the most.
        wiggle: change of the direction per step, in radians.
        pull: 0 … 1, towards the direction of the ground.
    """

    steps: int
    wiggle: float
    pull: float = 0.0


@dataclass(frozen=True)
class Threads:
    """Points along threads, of which `alive` ones count; (steps, n) each.

    Attributes:
        rows, columns: places.
        headings: directions, in radians.
        alive: False behind the end of a thread.
    """

    rows: Points
    columns: Points
    headings: Points
    alive: NDArray[np.bool_]

    @classmethod
    def grow(cls, rng: Generator, starts: Points, headings: Points, ground: Ground, growth: Growth) -> Self:
        """Threads from places (n, 2) in directions (n,); each ends where it leaves its cell."""
        where, heading = starts.T.copy(), headings.copy()
        home, axis = ground.owner_at(where), ground.axes(where)
        alive, bend = home >= 0, np.zeros(len(heading))
        last = rng.geometric(1 / (0.6 * growth.steps), len(heading)) + growth.steps // 5
        parts: list[tuple[Points, Points, NDArray[np.bool_]]] = []
        for step in range(growth.steps):
            parts.append((where.copy(), heading.copy(), alive))
            bend = MEMORY * bend + rng.normal(0, growth.wiggle * (1 - MEMORY**2) ** 0.5, len(bend))
            heading = heading + bend + ground.turn(where, heading)
            heading = heading + growth.pull * np.sin(2 * (axis - heading)) / 2
            where = where + STEP * np.stack([np.sin(heading), np.cos(heading)])
            alive = alive & (ground.owner_at(where) == home) & (step < last)
            if not alive.any():
                break
        place, towards, kept = (np.stack(part) for part in zip(*parts, strict=True))
        return cls(place[:, 0], place[:, 1], towards, kept)

    @classmethod
    def together(cls, *threads: Self) -> Self:
        """All of them in one, the short ones filled up with points that do not count."""
        steps = max(len(part.alive) for part in threads)
        fields = (
            np.concatenate([np.pad(part, ((0, steps - len(part)), (0, 0))) for part in parts], 1)
            for parts in zip(*((t.rows, t.columns, t.headings, t.alive) for t in threads), strict=True)
        )
        return cls(*fields)


@dataclass(frozen=True)
class Ground:
    """What threads grow on.

    Attributes:
        owner: the cell of each place, -1 where none may grow (Y, X).
        room: distance to the next border (Y, X).
        angles: direction of the cells (n,).
        drift: by which directions vary over the field (Y, X).
    """

    owner: Index
    room: Plane
    angles: Points
    drift: Plane

    def owner_at(self, where: Points) -> Index:
        """The cell (n,) at places (2, n), -1 outside the field."""
        row, column = np.rint(where).astype(int)
        height, width = self.owner.shape
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return np.where(inside, self.owner[self._at(where)], -1)

    def axes(self, where: Points) -> Points:
        """The direction of the ground (n,) at places (2, n)."""
        return np.asarray(self.angles[self.owner_at(where)] + self.drift[self._at(where)])

    def turn(self, where: Points, heading: Points) -> Points:
        """Turn (n,) of threads in a step, away from borders."""
        row, column = self._at(where)
        height, width = self.room.shape
        down = self.room[np.minimum(row + 1, height - 1), column] - self.room[np.maximum(row - 1, 0), column]
        right = self.room[row, np.minimum(column + 1, width - 1)] - self.room[row, np.maximum(column - 1, 0)]
        near = np.clip(1 - self.room[row, column] / WALL, 0, 1)
        return np.asarray(0.15 * near * np.clip(down * np.cos(heading) - right * np.sin(heading), -2, 2))

    def _at(self, where: Points) -> tuple[Index, Index]:
        row, column = np.rint(where).astype(int)
        height, width = self.room.shape
        return np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
