"""The eight ways to turn and mirror a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.pixels.arrays import Plane
from baikal_training.data.copies.keypoints import ANGLES, CELLS

TURNS = tuple((mirrored, quarters) for mirrored in (False, True) for quarters in range(4))


def turned(plane: Plane, turn: tuple[bool, int]) -> Plane:
    """A plane mirrored from left to right or not, then turned by quarters."""
    mirrored, quarters = turn
    return np.rot90(plane[:, ::-1] if mirrored else plane, quarters)


def turned_places(places: NDArray[np.float64], turn: tuple[bool, int]) -> NDArray[np.float64]:
    """Where places (n, 2) from the middle of a plane are in the turned plane."""
    mirrored, quarters = turn
    y, x = places.T
    x = -x if mirrored else x
    for _ in range(quarters):  # np.rot90 takes columns to rows, from the bottom
        y, x = -x, y
    return np.stack([y, x], axis=1)


def turned_entries(turn: tuple[bool, int]) -> NDArray[np.int64]:
    """Numbers of a descriptor's entries, in the order in which the turned plane's has them."""
    mirrored, quarters = turn
    entries = np.arange(CELLS * CELLS * ANGLES).reshape(CELLS, CELLS, ANGLES)
    if mirrored:  # from left to right: the angle a becomes 180 degrees - a
        entries = entries[:, ::-1, (ANGLES // 2 - np.arange(ANGLES)) % ANGLES]
    entries = np.rot90(entries, quarters)
    # A quarter turn takes a step to the right to one upwards: the angle a becomes a - 90 degrees.
    return np.roll(entries, -quarters * ANGLES // 4, axis=2).ravel()
