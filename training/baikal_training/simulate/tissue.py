"""A tissue of packed, moving nuclei, painted frame by frame; lengths in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from baikal_training.seeds import Stream, generator
from baikal_training.simulate.motion import Motion
from baikal_training.simulate.nucleus import Nucleus, Style
from baikal_training.simulate.optics import Optics
from baikal_training.simulate.packing import Points, neighbours, packed

Volume = NDArray[np.float32]

GAP = 0.8
"""Gap between the surfaces of touching nuclei."""
DIVISION, APART = 0.06, 1.6  # plates of dividing nuclei part by this per frame, up to a limit (radii)
WAVER = 0.12  # change of the log brightness, per pixel of the wobble along a fourth axis


class Ground(Protocol):
    """The ground that nuclei grow in."""

    def distance(self, points: Points) -> Points:
        """Distance between neighbours (n,) in pixels, at points (n, 3)."""

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """True where there are nuclei (n,), at points (n, 3)."""


@dataclass(frozen=True)
class Tissue:
    """A volume, of which all but a margin will be visible, and the nuclei in it.

    Attributes:
        shape: of the painted volume (Z, Y, X).
        margin: voxels along each axis that are cut off in the end (3,).
        spacing: size of a voxel (3,).
        centres: of the nuclei at rest (n, 3).
        nuclei: n of them.
        motion: of the centres.
    """

    shape: tuple[int, ...]
    margin: NDArray[np.int_]
    spacing: Points
    centres: Points
    nuclei: tuple[Nucleus, ...]
    motion: Motion

    @classmethod
    def grow(
        cls,
        shape: tuple[int, ...],
        margin: NDArray[np.int_],
        spacing: Points,
        ground: Ground,
        style: Style,
        seed: int,
    ) -> Tissue:
        """Random nuclei of a style, packed where the ground has any; the rest as the attributes."""
        rng = generator(Stream.LAYOUT, seed)
        centres, wanted = packed(rng, np.array(shape) * spacing, ground.distance)
        kept = ground.inside(centres)
        centres, wanted = centres[kept], wanted[kept]
        spread = rng.normal(0, style.size_spread, len(wanted)) - style.size_spread / 2
        radii = np.minimum(0.5 * wanted, style.largest) * np.exp(spread)
        nuclei = tuple(
            Nucleus.random(generator(Stream.CELL, seed, index), style, radius)
            for index, radius in enumerate(radii)
        )
        return cls(shape, margin, spacing, centres, nuclei, Motion.random(rng, 3))

    def frames(self, count: int, optics: Optics, depth: Volume) -> Iterator[Volume]:
        """The light (Z, Y, X) without the margin, time after time; `depth` as in Optics.image."""
        visible = tuple(slice(m, -m) for m in self.margin.tolist())
        for time in range(count):
            yield optics.image(self._stain(time), depth)[visible]

    def _stain(self, time: int) -> Volume:
        """Stain (Z, Y, X) at a time. Only nuclei that reach into the visible part get chromatin."""
        stain = np.zeros(self.shape, np.float32)
        centres = self._positions(time)
        first, last = self.margin * self.spacing, (np.array(self.shape) - self.margin - 1) * self.spacing
        for nucleus, centre, walls in zip(self._changed(time), centres, self._walls(centres), strict=True):
            outside = np.abs(centre - np.clip(centre, first, last))
            fine = bool(np.all(outside <= nucleus.reach + self.spacing))
            nucleus.paint(stain, centre, self.spacing, walls, fine)
        return stain

    def _changed(self, time: int) -> tuple[Nucleus, ...]:
        """The nuclei at a time: brightness wavers, divisions proceed."""
        if not time:
            return self.nuclei
        count = len(self.nuclei)
        waver = self.motion.shake(count, 4, time)[3] - self.motion.shake(count, 4, 0)[3]
        return tuple(
            replace(
                nucleus,
                brightness=nucleus.brightness * float(np.exp(WAVER * change)),
                split=None if nucleus.split is None else min(nucleus.split + DIVISION * time, APART),
            )
            for nucleus, change in zip(self.nuclei, waver, strict=True)
        )

    def _positions(self, time: int) -> Points:
        flow = self.motion.displacement(self.centres.T, time)
        return np.asarray((self.centres.T + flow + self.motion.shake(len(self.centres), 3, time)).T)

    def _walls(self, centres: Points) -> list[Points]:
        """Walls (n, 4) of each nucleus to its neighbours, nearer the smaller one."""
        if len(centres) < 2:
            return [np.zeros((0, 4))] * len(centres)
        radii = np.array([nucleus.radii.mean() for nucleus in self.nuclei])
        one, two = neighbours(centres, 2.2 * float(np.percentile(radii, 90)))
        first, second = np.concatenate([one, two]), np.concatenate([two, one])
        offset = centres[second] - centres[first]
        length = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
        wall = length * radii[first] / (radii[first] + radii[second]) - GAP / 2
        order = np.argsort(first, kind="stable")
        walls = np.column_stack([offset / length[:, None], wall])[order]
        return np.split(walls, np.cumsum(np.bincount(first, minlength=len(centres)))[:-1])
