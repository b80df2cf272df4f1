"""Stain of a volume: points on thin structures, and a body that fills the cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from baikal_training.simulate.culture import Index
from baikal_training.simulate.motion import Motion
from baikal_training.simulate.packing import Points

Volume = NDArray[np.float32]


@dataclass(frozen=True)
class Dots:
    """Points that are stained.

    Attributes:
        places: (3, n): plane, row, column.
        weights: (n,).
        things: number of the thing that a point is part of (n,): its points move together.
    """

    places: Points
    weights: Points
    things: Index


def drawn(rng: Generator, chance: NDArray[np.float32], count: int) -> Points:
    """Random places (2, n): rows and columns, of a density (Y, X)."""
    total = np.cumsum(chance.ravel(), dtype=np.float64)
    index = np.searchsorted(total, rng.uniform(0, total[-1], count), side="right")
    place = np.unravel_index(np.minimum(index, chance.size - 1), chance.shape)
    return np.stack(place) + rng.uniform(-0.5, 0.5, (2, count))


def balls(rng: Generator, hollow: NDArray[np.bool_]) -> Points:
    """Random places (3, n) within the unit ball, on its surface where `hollow` (n,)."""
    ball = rng.standard_normal((3, len(hollow)))
    ball /= np.linalg.norm(ball, axis=0)
    return np.asarray(ball * np.where(hollow, 1, rng.uniform(0, 1, len(hollow)) ** (1 / 3)))


def joined(*dots: Dots) -> Dots:
    """All of them, as things of their own."""
    counts = np.cumsum([0, *(int(part.things.max(initial=-1)) + 1 for part in dots)])
    return Dots(
        np.concatenate([part.places for part in dots], 1),
        np.concatenate([part.weights for part in dots]),
        np.concatenate([part.things + first for part, first in zip(dots, counts, strict=False)]),
    )


@dataclass(frozen=True)
class Stain:
    """What is stained, at rest: dots, and a body (Z, Y, X)."""

    dots: Dots
    body: Volume

    def volume(self, motion: Motion, time: int) -> Volume:
        """The stain (Z, Y, X) at a time; that of time 0 is at rest."""
        places, body = self.dots.places, self.body
        if time:
            places = places.copy()
            places[1:] += motion.displacement(places[1:], time) - motion.displacement(places[1:], 0)
            count = int(self.dots.things.max(initial=-1)) + 1
            shake = motion.shake(count, 2, time) - motion.shake(count, 2, 0)
            places[1:] += shake[:, self.dots.things]
            body = _moved(body, motion, time)
        return body + splat(places, self.dots.weights, body.shape)


def splat(places: Points, weights: Points, shape: tuple[int, ...]) -> Volume:
    """Points (3, n) of some weight (n,) as voxels (Z, Y, X); in a plane each is shared by four."""
    plane = np.rint(places[0]).astype(int)
    row, column = np.floor(places[1:]).astype(int)
    planes, height, width = shape
    seen = (plane >= 0) & (plane < planes)
    seen &= (row >= 0) & (row < height - 1) & (column >= 0) & (column < width - 1)
    plane, row, column, weights = plane[seen], row[seen], column[seen], weights[seen]
    below, beside = places[1][seen] - row, places[2][seen] - column
    first = (plane * height + row) * width + column
    out = np.zeros(planes * height * width)
    for step, share in (
        (0, (1 - below) * (1 - beside)),
        (1, (1 - below) * beside),
        (width, below * (1 - beside)),
        (width + 1, below * beside),
    ):
        out += np.bincount(first + step, share * weights, len(out))
    return out.reshape(shape).astype(np.float32)


def _moved(body: Volume, motion: Motion, time: int) -> Volume:
    rest = np.indices(body.shape[1:], np.float32)
    place = rest - motion.displacement(rest, time) + motion.displacement(rest, 0)
    moved = [map_coordinates(plane, place, order=1, mode="nearest") for plane in body]
    return np.stack(moved).astype(np.float32)
