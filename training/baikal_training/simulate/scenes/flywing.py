"""Junctions of the fly's wing epithelium (E-cadherin) under a confocal microscope.

They are a honeycomb in a thin, uneven sheet; the rest of a volume is dark but for haze.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.random import Generator
from scipy.ndimage import map_coordinates

from baikal_training.seeds import Stream, generator
from baikal_training.simulate.junctions import Honeycomb, Plane
from baikal_training.simulate.optics import Optics, uneven, voxel_grid
from baikal_training.simulate.packing import Points
from baikal_training.simulate.scenes.base import Scene, Volume
from baikal_training.simulate.waves import WaveField

MARGIN = np.array([3, 16, 16])
CELL = (19.0, 32.0)  # mean diameter of the cells
BELT = 0.8  # sigma of the apical belt, in planes
LATERAL = 3.0  # planes over which the fainter membranes below it fade
WALL = 0.22  # their brightness, where the belt is 1
INSIDE = 0.06  # cytoplasm, where a junction is about 1
SPECKS = 6e-4  # per pixel: vesicles and debris
OPTICS = Optics(
    core=(0.72, 0.6, 1.0), skirt=(0.19, 1.6, 3.5), haze=(0.09, 3.0, 20.0), fading=140.0, background=0.035
)


@dataclass(frozen=True)
class Sheet:
    """The epithelium. A volume of more planes holds more relief, so that the sheet fills it.

    Attributes:
        height: of the sheet (Y, X), in planes.
        slant: by which the cells lean, in pixels per plane (2,).
        strength: stain across the field (Y, X).
    """

    height: Plane
    slant: Points
    strength: Plane

    @classmethod
    def random(cls, rng: Generator, grid: Plane, painted: int, planes: int) -> Self:
        relief = 0.5 + 0.11 * (planes - 1)
        large, small = WaveField.random(rng, 420, 2, 8)(grid), WaveField.random(rng, 110, 2, 8)(grid)
        height = 0.9 * large * relief + 0.15 * small * min(relief, 2)
        height = np.clip(height - height.mean(), -planes / 2 - 0.5, planes / 2 + 0.5)
        strength = np.exp(0.28 * WaveField.random(rng, 150, 2, 10)(grid))
        return cls((height + (painted - 1) / 2).astype(np.float32), rng.normal(0, 0.8, 2), strength)

    def stain(self, junctions: Plane, insides: Plane, specks: Volume) -> Volume:
        """The stain (Z, Y, X), from the pictures of one time."""
        planes = len(specks)
        rows, columns = np.indices(self.height.shape, np.float32)
        out = np.empty(specks.shape, np.float32)
        for plane in range(planes):
            below = plane - self.height  # positive on the basal side
            place = rows + self.slant[0] * below, columns + self.slant[1] * below
            shifted = map_coordinates(junctions, place, order=1, mode="nearest")
            belt = np.exp(-(below**2) / 2 / BELT**2)
            wall = WALL * np.exp(-np.maximum(below, 0) / LATERAL) / (1 + np.exp(-3 * below))
            body = INSIDE * np.exp(-((below - 1.5) ** 2) / 2 / 2.5**2)
            out[plane] = self.strength * (shifted * (belt + wall) + insides * body)
            out[plane] += specks[plane] * np.exp(-(below**2) / 2 / 2.0**2)
        return np.tanh(out / 2.2) * np.float32(2.2)


class Flywing(Scene):
    label: ClassVar[str] = "E-cadherin"
    pixel_size: ClassVar[float] = 0.2
    plane_spacing: ClassVar[float] = 4.0

    def frames(self, shape: tuple[int, int, int, int], seed: int) -> Iterator[Volume]:
        rng = generator(Stream.SCENE, seed)
        painted = tuple((np.array(shape[1:]) + 2 * MARGIN).tolist())
        grid = voxel_grid(painted[1:], np.ones(2))
        sheet = Sheet.random(rng, grid, painted[0], shape[1])
        honeycomb = Honeycomb.random(rng, np.array(painted[1:], float), rng.uniform(*CELL))
        mottle = _mottle(rng, grid)
        specks = _specks(rng, painted)
        below = np.arange(painted[0])[:, None, None] - sheet.height
        depth = (below * self.plane_spacing).astype(np.float32)
        visible = tuple(slice(m, -m) for m in MARGIN.tolist())
        glow = OPTICS.background * uneven(rng, shape[2:], 0.3)
        field = uneven(rng, shape[2:], 0.08)
        for time in range(shape[0]):
            junctions, insides = honeycomb.draw(grid, time)
            light = OPTICS.image(sheet.stain(junctions, insides * mottle, specks), depth)[visible]
            yield np.asarray((light + glow) * field, np.float32)


def _mottle(rng: Generator, grid: Plane) -> Plane:
    """The texture of the cytoplasm (Y, X), about 1."""
    fine = WaveField.random(rng, 5.0, 2, 24)(grid)
    return np.asarray(np.exp(0.3 * fine + 0.25 * WaveField.random(rng, 13.0, 2)(grid)))


def _specks(rng: Generator, shape: tuple[int, ...]) -> Volume:
    """Single bright voxels (Z, Y, X), which the point spread function will widen."""
    specks = np.zeros(shape, np.float32)
    count = rng.poisson(SPECKS * np.prod(shape))
    places = tuple(rng.integers(0, n, count) for n in shape)
    specks[places] = np.minimum(rng.lognormal(0.7, 0.7, count), 8)
    return specks
