"""Scenes of cells on a cover slip, or side by side in a tissue; lengths in pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.seeds import Stream, generator
from baikal_training.simulate.culture import Culture, Habit
from baikal_training.simulate.grain import Plane, grain
from baikal_training.simulate.motion import Motion
from baikal_training.simulate.optics import Optics, uneven
from baikal_training.simulate.packing import Points
from baikal_training.simulate.scenes.base import Scene, Volume
from baikal_training.simulate.stain import Dots, Stain

MARGIN = np.array([4, 24, 24])
PLANE_SPACING = 3.0
SURFACE = np.zeros((1, 1, 1), np.float32)
"""Depth of thin cells: none, no light is lost."""


@dataclass(frozen=True)
class Layer:
    """Cells that lie on a plane.

    Attributes:
        culture: the cells.
        planes: painted.
        base: plane that the cells lie on.
        height: of the cells, in planes (Y, X).
    """

    culture: Culture
    planes: int
    base: float
    height: Plane

    @classmethod
    def random(cls, rng: Generator, painted: tuple[int, ...], habit: Habit) -> Layer:
        """A layer whose middle is near that of the volume; more planes hold thicker cells."""
        culture = Culture.random(rng, (painted[1], painted[2]), habit)
        shown = painted[0] - 2 * int(MARGIN[0])
        thick = rng.uniform(2, 6) + 0.5 * (shown - 1)
        slope = 0.3 * float(np.median(culture.sizes))
        least = rng.uniform(0.1, 0.8)
        height = thick * (1 - (1 - least) * np.exp(-culture.edge / slope)) * (culture.owner >= 0)
        base = (painted[0] - 1 - thick) / 2 + rng.uniform(-1, 1.5)
        return cls(culture, painted[0], base, height.astype(np.float32))

    def planes_at(self, rows: NDArray[Any], columns: NDArray[Any], share: Points) -> Points:
        """Planes of places (n,) at a share of the height of the cell there."""
        row, column = (
            np.clip(np.rint(part).astype(int), 0, size - 1)
            for part, size in zip((rows, columns), self.height.shape, strict=True)
        )
        return np.asarray(self.base + share * self.height[row, column])

    def body(self, stain: Plane) -> Volume:
        """Stain (Y, X) that fills the cells from the base to their top: (Z, Y, X)."""
        above = np.arange(self.planes, dtype=np.float32)[:, None, None] - np.float32(self.base)
        filled = np.clip(above + 0.5, 0, 1) * np.clip(self.height + 0.5 - above, 0, 1)
        return np.asarray(filled * stain, np.float32)

    def cytoplasm(self, rng: Generator, nucleus: float) -> Plane:
        """Diffuse stain (Y, X), about 1 in the cytoplasm, and a factor in the nuclei."""
        shape = self.height.shape
        texture = np.exp(rng.uniform(0.05, 0.3) * grain(rng, shape, 1.5) + 0.2 * grain(rng, shape, 8.0))
        inside = 1 / (1 + np.exp(np.clip(12 * (self.culture.nucleus - 1), -30, 30)))
        soft = np.clip(self.culture.free / 2, 0, 1)
        stain = self.culture.level() * texture * soft * (1 + (nucleus - 1) * inside)
        return np.asarray(stain, np.float32)

    def diffuse(self, rng: Generator, dots: Dots, share: float, nucleus: float) -> Volume:
        """Diffuse stain (Z, Y, X), in all a share of that of the dots; a factor in the nuclei."""
        body = self.body(self.cytoplasm(rng, nucleus))
        return np.asarray(body * np.float32(share * dots.weights.sum() / max(float(body.sum()), 1e-6)))


class CultureScene(Scene):
    """Structures in cells that lie side by side. Microscope, cells and stain vary from image to image."""

    pixel_size: ClassVar[float] = 0.1
    plane_spacing: ClassVar[float] = PLANE_SPACING

    def frames(self, shape: tuple[int, int, int, int], seed: int) -> Iterator[Volume]:
        rng = generator(Stream.SCENE, seed)
        painted = tuple((np.array(shape[1:]) + 2 * MARGIN).tolist())
        optics, stain = microscope(rng), self.stain(rng, painted)
        motion, field = Motion.random(rng, 2), uneven(rng, shape[2:], 0.1)
        glow = optics.background * uneven(rng, shape[2:], 0.3)
        visible = tuple(slice(m, -m) for m in MARGIN.tolist())
        peak = 0.0
        for time in range(shape[0]):
            light = optics.image(stain.volume(motion, time), SURFACE, visible[0])[:, visible[1], visible[2]]
            peak = peak or max(float(np.percentile(light, 99.5)), 1e-6)
            yield np.asarray((light / peak + glow) * field, np.float32)

    @abstractmethod
    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        """What is stained in a volume of `painted` voxels (Z, Y, X)."""


def microscope(rng: Generator) -> Optics:
    """A microscope between confocal (little haze) and wide field (much)."""
    wide = rng.uniform(0, 1) ** 1.5
    focus = float(np.exp(rng.uniform(np.log(0.75), np.log(1.8))))
    haze = 0.04 + 0.2 * wide
    core = 0.9 - 0.45 * wide
    return Optics(
        core=(core, 0.55, focus),
        skirt=(1 - core - haze, 1.6 + wide, 3.2 * focus),
        haze=(haze, 3.0, rng.uniform(12, 30)),
        fading=1.0,
        background=float(np.exp(rng.uniform(np.log(0.004), np.log(0.12)))),
    )


def scattered(rng: Generator, planes: Points, rows: NDArray[Any], columns: NDArray[Any]) -> Points:
    """Places (3, n); planes are rounded at random, so that a thing between two is in both."""
    return np.stack([planes + rng.uniform(-0.5, 0.5, planes.shape), rows, columns])
