"""Places in a plane that a copy of it shows as well, and what is around them.

After D. G. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 60, 2004; turned by
quarters alone, as images on a disk are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from baikal_deploy.pixels.arrays import Plane

Vectors = NDArray[np.float32]

BINNED_FROM = 480
"""Smallest side of planes that are binned 2 x 2 first."""
FIRST_WIDTH, LEVELS = 1.6, 5
"""Width of the first level of an octave, and levels of an octave, each sqrt(2) wider than the one before."""
SMALLEST_OCTAVE = 24
AREA = 600
"""Area in pixels for which there is a keypoint."""
FEWEST = 80
QUOTA = (0.5, 0.3)
"""Shares of the keypoints in the first octaves; the others have the last share left over each."""
CELLS, SAMPLES, SPACING = 4, 16, 0.75
"""Cells of a descriptor along an axis, samples along it, and their distance in widths of the keypoint."""
ANGLES = 8


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of a plane.

    Attributes:
        places: (n, 2), rows and columns from the middle of the plane, in pixels.
        widths: (n,), in pixels.
        descriptors: (n, 128), histograms of the directions of edges around them, of length 1.
    """

    places: NDArray[np.float64]
    widths: NDArray[np.float64]
    descriptors: Vectors

    def __len__(self) -> int:
        return len(self.widths)


def keypoints(plane: Plane) -> Keypoints:
    """The keypoints of a plane (H, W), whose intensities may be in any unit."""
    low, high = np.percentile(plane, (1, 99.8))
    level = np.clip((plane - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)
    side = 1
    if min(level.shape) >= BINNED_FROM:
        level, side = _binned(level), 2
    budget = max(level.size / AREA, FEWEST)
    found = [Keypoints(np.empty((0, 2)), np.empty(0), np.empty((0, CELLS * CELLS * ANGLES), np.float32))]
    octave, step = 0, 1
    level = gaussian_filter(level, np.sqrt(FIRST_WIDTH**2 - 0.5))
    while min(level.shape) >= SMALLEST_OCTAVE:
        share = QUOTA[octave] if octave < len(QUOTA) else 1 - sum(QUOTA)
        here, level = _of_octave(level, max(int(budget * share), 8))
        places = (here.places * step + 0.5) * side - np.array(plane.shape) / 2
        found.append(Keypoints(places, here.widths * step * side, here.descriptors))
        level, step, octave = level[::2, ::2], step * 2, octave + 1
    return Keypoints(*(np.concatenate([getattr(k, n) for k in found]) for n in vars(found[0])))


def _binned(plane: Plane) -> Plane:
    height, width = (side // 2 * 2 for side in plane.shape)
    return np.asarray(plane[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3)))


def _of_octave(first: Plane, most: int) -> tuple[Keypoints, Plane]:
    """The strongest blobs between the levels of an octave, and the level twice as wide as the first."""
    levels = [first]
    for i in range(1, LEVELS):
        levels.append(gaussian_filter(levels[-1], FIRST_WIDTH * 2 ** ((i - 1) / 2)))
    blobs = np.stack([b - a for a, b in pairwise(levels)])
    strength = np.abs(blobs)
    peaks = (strength == maximum_filter(strength, 3)) & (strength > 1e-4)
    peaks[[0, -1]] = False
    peaks[:, [0, -1]] = peaks[:, :, [0, -1]] = False
    at = np.argwhere(peaks)
    at = at[np.argsort(-strength[tuple(at.T)], kind="stable")[:most]]
    offsets = np.stack([_offset(strength, at, axis) for axis in range(3)], axis=1)
    between: NDArray[np.float64] = at + offsets
    widths = FIRST_WIDTH * 2 ** (between[:, 0] / 2)
    descriptors = np.zeros((len(at), CELLS * CELLS * ANGLES), np.float32)
    for i in np.unique(at[:, 0]):
        chosen = at[:, 0] == i
        descriptors[chosen] = _descriptors(levels[i], between[chosen, 1:], widths[chosen])
    return Keypoints(between[:, 1:], widths, descriptors), levels[2]


def _offset(strength: Vectors, at: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    """Where the parabola through a peak and its neighbours along an axis is highest."""
    step = np.eye(3, dtype=int)[axis]
    before, here, after = (strength[tuple((at + s * step).T)] for s in (-1, 0, 1))
    return np.asarray(0.5 * (before - after) / np.minimum(before - 2 * here + after, -1e-9), float).clip(
        -0.5, 0.5
    )


def _descriptors(level: Plane, places: NDArray[np.float64], widths: NDArray[np.float64]) -> Vectors:
    rows, columns = np.gradient(level, axis=0), np.gradient(level, axis=1)
    offsets = (np.arange(SAMPLES) - (SAMPLES - 1) / 2) * SPACING
    y = np.rint(places[:, :1] + widths[:, None] * offsets).astype(int)
    x = np.rint(places[:, 1:] + widths[:, None] * offsets).astype(int)
    inside = ((y >= 0) & (y < level.shape[0]))[:, :, None] & ((x >= 0) & (x < level.shape[1]))[:, None]
    index = np.clip(y, 0, level.shape[0] - 1)[:, :, None], np.clip(x, 0, level.shape[1] - 1)[:, None]
    dy, dx = rows[index], columns[index]
    fall = np.exp(-0.5 * (offsets / (SAMPLES * SPACING / 2)) ** 2)
    steep = np.hypot(dy, dx) * inside * fall[:, None] * fall
    angle = np.arctan2(dy, dx) * (ANGLES / (2 * np.pi))
    directions = (
        np.maximum(0, 1 - np.abs((angle[..., None] - np.arange(ANGLES) + 4) % ANGLES - 4)) * steep[..., None]
    )
    centres = (np.arange(CELLS) + 0.5) * SAMPLES / CELLS - 0.5
    shares = np.maximum(0, 1 - np.abs(np.arange(SAMPLES) - centres[:, None]) * CELLS / SAMPLES)
    cells = np.einsum("cy,dx,nyxo->ncdo", shares, shares, directions, optimize=True)
    return unit_length(np.sqrt(cells.reshape(len(places), -1)))


def unit_length(vectors: NDArray[np.floating]) -> Vectors:
    """Vectors (n, m), each divided by its length."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)
