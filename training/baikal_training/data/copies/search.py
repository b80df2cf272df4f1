"""Planes that may be copies of others: those with keypoints that fit, all by one shift and magnification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_training.data.copies.keypoints import Keypoints, Vectors, unit_length
from baikal_training.data.copies.turns import TURNS, turned_entries, turned_places

COMPONENTS = 32
"""Principal components that descriptors are compared by."""
CELLS, PROBED = 256, 8
"""Cells that descriptors are sorted into, and those that the likest one is looked for in."""
LIKENESS = 0.75
"""Least cosine between descriptors that fit."""
MOST = 60
"""Most pairs of keypoints of two planes that are looked at, the likest ones."""
LARGEST, LARGEST_RATIO = 2.15, 2.6
"""Largest magnification between copies, either way, and as single keypoints tell it."""
RATIO_TOLERANCE, PLACE_TOLERANCE = 0.3, 0.12
"""By how much keypoints may differ from a common magnification (its logarithm), and in place (of their
distance from each other)."""
SUPPORT = 5
"""Fewest keypoints that fit, for planes to be compared in full."""


@dataclass(frozen=True)
class Guess:
    """How a plane may show what another shows.

    Attributes:
        plane: number of the plane that may be a copy.
        turn: of the other, see ``TURNS``.
        magnification: pixels of the other for each of the plane.
        shift: place in the turned other of the middle of the plane, from the middle of the other, in pixels.
        support: keypoints that say so.
    """

    plane: int
    turn: tuple[bool, int]
    magnification: float
    shift: tuple[float, float]
    support: int


class Index:
    """The keypoints of planes, to be searched for what another plane shows."""

    def __init__(self, planes: Sequence[Keypoints]) -> None:
        everything = np.concatenate([plane.descriptors for plane in planes])
        self.planes = planes
        self.ends = np.cumsum([len(plane) for plane in planes])
        _, axes = np.linalg.eigh(everything.T @ everything)
        self.axes = axes[:, -COMPONENTS:].astype(np.float32)
        self.vectors = unit_length(everything @ self.axes)
        chosen = np.random.default_rng(0).choice(len(everything), min(CELLS, len(everything)), replace=False)
        self.centres = self.vectors[chosen].T.copy()
        cells = (self.vectors @ self.centres).argmax(axis=1)
        self.members = [np.flatnonzero(cells == cell) for cell in range(len(chosen))]

    def guesses(self, other: Keypoints) -> Iterator[Guess]:
        """Ways in which planes may show what another shows, at most one for each plane."""
        best, likeness = self._nearest(other)
        places = np.stack([turned_places(other.places, turn) for turn in TURNS])
        for number, (start, end) in enumerate(zip((0, *self.ends[:-1]), self.ends, strict=True)):
            fitting = np.flatnonzero(likeness[start:end] > LIKENESS)
            if len(fitting) < SUPPORT:
                continue
            fitting = fitting[np.argsort(-likeness[start + fitting], kind="stable")[:MOST]]
            turn, point = np.divmod(best[start + fitting], len(other))
            plane = self.planes[number]
            guess = _common(
                number, plane.places[fitting], plane.widths[fitting], places[turn, point],
                other.widths[point], turn, point,
            )  # fmt: skip
            if guess is not None:
                yield guess

    def _nearest(self, other: Keypoints) -> tuple[NDArray[np.int64], Vectors]:
        """For each keypoint, the likest of another plane, times its turns, and how like it is."""
        turns = np.concatenate([other.descriptors[:, turned_entries(turn)] for turn in TURNS])
        candidates = unit_length(turns @ self.axes)
        order = np.argsort(candidates @ self.centres, axis=1)[:, -PROBED:]
        best = np.zeros(len(self.vectors), np.int64)
        likeness = np.zeros(len(self.vectors), np.float32)
        for cell, members in enumerate(self.members):
            rows = np.flatnonzero((order == cell).any(axis=1))
            if len(rows) and len(members):
                products = self.vectors[members] @ candidates[rows].T
                found = products.argmax(axis=1)
                best[members] = rows[found]
                likeness[members] = products[np.arange(len(found)), found]
        return best, likeness


def _common(
    number: int,
    places: NDArray[np.float64],
    widths: NDArray[np.float64],
    other_places: NDArray[np.float64],
    other_widths: NDArray[np.float64],
    turn: NDArray[np.int64],
    point: NDArray[np.int64],
) -> Guess | None:
    """The shift and magnification that most pairs of keypoints have in common, if enough have."""
    ratio = other_widths / widths
    log = np.log(ratio)
    steps = places[None] - places[:, None]
    away = other_places[None] - other_places[:, None] - ratio[:, None, None] * steps
    allowed = PLACE_TOLERANCE * ratio[:, None] * np.linalg.norm(steps, axis=-1) + 2 * other_widths[:, None]
    agree = (turn[None] == turn[:, None]) & (np.abs(log[None] - log[:, None]) < RATIO_TOLERANCE)
    agree &= (np.linalg.norm(away, axis=-1) < allowed) & (np.abs(log[:, None]) < np.log(LARGEST_RATIO))
    first = int(agree.sum(axis=1).argmax())
    chosen = np.flatnonzero(agree[first])
    chosen = chosen[np.unique(point[chosen], return_index=True)[1]]
    if len(chosen) < SUPPORT:
        return None
    here, there = places[chosen], other_places[chosen]
    spread = here - here.mean(axis=0)
    fitted = float((spread * (there - there.mean(axis=0))).sum() / max((spread**2).sum(), 1e-9))
    magnification = fitted if 0.7 < fitted / ratio[first] < 1.4 else float(ratio[first])
    if abs(np.log(magnification)) > np.log(LARGEST):
        return None
    row, column = there.mean(axis=0) - magnification * here.mean(axis=0)
    return Guess(number, TURNS[int(turn[first])], magnification, (float(row), float(column)), len(chosen))
