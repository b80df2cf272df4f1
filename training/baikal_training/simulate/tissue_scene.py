"""Scenes of nuclei that fill a body."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.seeds import Stream, generator
from baikal_training.simulate.nucleus import Style
from baikal_training.simulate.optics import Optics, voxel_grid
from baikal_training.simulate.packing import Points
from baikal_training.simulate.scenes.base import Scene, Volume
from baikal_training.simulate.tissue import Ground, Tissue


class Body(Ground, Protocol):
    """A body that nuclei grow in, with the depth of each place below its surface."""

    @classmethod
    def random(cls, rng: Generator, extent: Points) -> Self:
        """A random body in a volume of a size (3,) in pixels."""

    def depth(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Depth below the surface in pixels, at points (3, …)."""


class TissueScene(Scene):
    """Nuclei that fill a body and are seen through it.

    Attributes:
        body: its shape.
        style: of the nuclei.
        optics: of the microscope.
        margin: voxels (3,) painted around the volume, then cut off.
    """

    body: ClassVar[type[Body]]
    style: ClassVar[Style]
    optics: ClassVar[Optics]
    margin: ClassVar[NDArray[np.int_]]

    def frames(self, shape: tuple[int, int, int, int], seed: int) -> Iterator[Volume]:
        rng = generator(Stream.SCENE, seed)
        spacing = np.array([self.plane_spacing, 1.0, 1.0])
        painted = tuple((np.array(shape[1:]) + 2 * self.margin).tolist())
        body = self.body.random(rng, np.array(painted) * spacing)
        tissue = Tissue.grow(painted, self.margin, spacing, body, self.style, seed)
        grid = voxel_grid(painted, spacing)
        depth = body.depth(grid).astype(np.float32)
        glow = self.glow(rng, grid, depth)[tuple(slice(m, -m) for m in self.margin.tolist())]
        lighting = self.lighting(rng, shape[2:])
        for light in tissue.frames(shape[0], self.optics, depth):
            yield np.asarray((light + glow) * lighting, np.float32)

    @abstractmethod
    def glow(self, rng: Generator, grid: Volume, depth: Volume) -> Volume:
        """Light from elsewhere than nuclei (Z, Y, X), at the places and depths of voxels."""

    @abstractmethod
    def lighting(self, rng: Generator, plane: tuple[int, int]) -> Volume:
        """Factor (Y, X) by which the field is lit."""
