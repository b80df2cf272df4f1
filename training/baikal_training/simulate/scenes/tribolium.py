"""Nuclei of a Tribolium embryo in a light sheet.

They are round and smooth, packed in the germ band, apart in the serosa, with yolk haze below.
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

MARGIN = np.array([4, 24, 24])
DISTANCE = (13.0, 27.0)  # between neighbours in the germ band, and in the serosa
LAYER = (16.0, 90.0)  # thickness of the serosa, and of the germ band
STYLE = Style(
    flatness=(0.62, 0.9),
    slimness=(0.72, 0.98),
    grain=(0.08, 0.22),
    grain_size=0.95,
    rim=(0.0, 0.15),
    nucleoli=1,
    chromocentres=0.3,
    spread=0.28,
    mitotic=0.04,
    largest=9.0,
    size_spread=0.1,
)
OPTICS = Optics(
    core=(0.58, 0.75, 1.3), skirt=(0.28, 1.9, 4.5), haze=(0.14, 3.0, 24.0), fading=110.0, background=0.035
)


@dataclass(frozen=True)
class Embryo:
    """The surface of an embryo, and the share of germ band at each place."""

    height: float
    slope: NDArray[np.float64]
    bulge: float
    middle: NDArray[np.float64]
    relief: WaveField
    band: WaveField

    @classmethod
    def random(cls, rng: Generator, extent: Points) -> Self:
        angle, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3)
        return cls(
            height=extent[0] / 2 - rng.uniform(10, 55),
            slope=steep * np.array([np.sin(angle), np.cos(angle)]),
            bulge=rng.uniform(0, 2.5e-4),
            middle=extent[1:] / 2,
            relief=WaveField.random(rng, 220, 2, 8),
            band=WaveField.random(rng, 330, 2, 8),
        )

    def depth(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Depth below the surface in pixels, at points (3, …)."""
        across = points[1:] - self.middle.reshape(2, *[1] * (points.ndim - 1))
        sunk = np.tensordot(self.slope, across, 1) + self.bulge * (across**2).sum(0)
        return np.asarray(points[0] - self.height - sunk + 7 * self.relief(points[1:]))

    def germ(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Share of germ band: 0 in the serosa to 1 in the germ band, with a narrow transition."""
        return np.asarray(1 / (1 + np.exp(-6 * (self.band(points[1:]) + 0.5))))

    def distance(self, points: Points) -> Points:
        """Distance between neighbours (n,) in pixels, at points (n, 3)."""
        return np.asarray(DISTANCE[1] + (DISTANCE[0] - DISTANCE[1]) * self.germ(points.T))

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """True where there are nuclei (n,), at points (n, 3)."""
        depth, germ = self.depth(points.T), self.germ(points.T)
        return np.asarray((depth > 6) & (depth < LAYER[0] + (LAYER[1] - LAYER[0]) * germ))


class Tribolium(TissueScene):
    label: ClassVar[str] = "nuclei"
    pixel_size: ClassVar[float] = 0.4
    plane_spacing: ClassVar[float] = 5.0
    body = Embryo
    style = STYLE
    optics = OPTICS
    margin = MARGIN

    def glow(self, rng: Generator, grid: Volume, depth: Volume) -> Volume:
        """Background, and the yolk's own light, which fills the embryo."""
        level = uneven(rng, (grid.shape[2], grid.shape[3]), 0.25)
        yolk = 1 / (1 + np.exp(-(depth - 10) / 14))
        yolk *= np.exp(-np.maximum(depth, 0) / (2 * self.optics.fading))
        cloud = np.exp(0.5 * WaveField.random(rng, 160, 2, 10)(grid[1:, 0]))
        return np.asarray(self.optics.background * (level + 2.0 * yolk * cloud), np.float32)

    def lighting(self, rng: Generator, plane: tuple[int, int]) -> Volume:
        """Faint shadows along the light sheet, which comes from one side: a factor (H, W)."""
        rows = np.arange(plane[0], dtype=np.float32)[None]
        shade = WaveField.random(rng, 23, 1, 10)(rows)[:, None]
        along = np.linspace(0, 1, plane[1], dtype=np.float32)
        return np.asarray((1 - 0.25 * (along - 0.5)) * (1 + 0.03 * along * shade), np.float32)
