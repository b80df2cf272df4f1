"""Nuclei of a planarian under a confocal microscope.

They are crowded, of many sizes and brightnesses, with textured chromatin and nucleoli; the light fades
quickly with depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.simulate.nucleus import Style
from baikal_training.simulate.optics import Optics, uneven
from baikal_training.simulate.packing import Points
from baikal_training.simulate.scenes.base import Volume
from baikal_training.simulate.tissue_scene import TissueScene
from baikal_training.simulate.waves import WaveField

MARGIN = np.array([4, 20, 20])
DISTANCE = (12.5, 21.0)
STYLE = Style(
    flatness=(0.5, 0.85),
    slimness=(0.58, 0.95),
    grain=(0.22, 0.42),
    grain_size=0.85,
    rim=(0.1, 0.6),
    nucleoli=2,
    chromocentres=1.2,
    spread=0.5,
    mitotic=0.012,
    largest=12.0,
    size_spread=0.2,
)
OPTICS = Optics(
    core=(0.76, 0.55, 0.95), skirt=(0.17, 1.6, 3.5), haze=(0.07, 2.5, 15.0), fading=75.0, background=0.03
)


@dataclass(frozen=True)
class Parenchyma:
    """The nuclei's places in a planarian: nearly everywhere below its surface, but for gut and muscle."""

    height: float
    tilt: NDArray[np.float64]
    middle: NDArray[np.float64]
    organs: WaveField
    sizes: WaveField
    emptiness: float

    @classmethod
    def random(cls, rng: Generator, extent: Points) -> Self:
        return cls(
            height=extent[0] / 2 - rng.uniform(12, 60),
            tilt=rng.normal(0, 0.06, 2),
            middle=extent[1:] / 2,
            organs=WaveField.random(rng, 120, 3, 12),
            sizes=WaveField.random(rng, 90, 3, 12),
            emptiness=rng.uniform(-1.8, -0.75),
        )

    def depth(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Depth below the surface in pixels, at points (3, …)."""
        across = points[1:] - self.middle.reshape(2, *[1] * (points.ndim - 1))
        return np.asarray(points[0] - self.height - np.tensordot(self.tilt, across, 1))

    def distance(self, points: Points) -> Points:
        """Distance between neighbours (n,) in pixels, at points (n, 3)."""
        share = np.clip(0.5 + 0.4 * self.sizes(points.T), 0, 1) ** 1.5
        return np.asarray(DISTANCE[0] + (DISTANCE[1] - DISTANCE[0]) * share)

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """True where nuclei grow (n,), at points (n, 3)."""
        return np.asarray((self.depth(points.T) > 5) & (self.organs(points.T) > self.emptiness))


class Planaria(TissueScene):
    label: ClassVar[str] = "nuclei"
    pixel_size: ClassVar[float] = 0.4
    plane_spacing: ClassVar[float] = 5.0
    body = Parenchyma
    style = STYLE
    optics = OPTICS
    margin = MARGIN

    def glow(self, rng: Generator, grid: Volume, depth: Volume) -> Volume:
        """Background, and stain between the nuclei."""
        level = uneven(rng, (grid.shape[2], grid.shape[3]), 0.3)
        cloud = np.exp(0.6 * WaveField.random(rng, 50, 2, 14)(grid[1:, 0]))
        tissue = 1 / (1 + np.exp(-depth / 6)) * np.exp(-np.maximum(depth, 0) / np.float32(self.optics.fading))
        return np.asarray(self.optics.background * (level + 1.2 * tissue * cloud), np.float32)

    def lighting(self, rng: Generator, plane: tuple[int, int]) -> Volume:
        """Factor of the lighting (Y, X), nearly even."""
        return uneven(rng, plane, 0.08)
