"""Vesicles: spots, discs and rings of many sizes, clusters beside the nucleus, and diffuse cytoplasm."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.simulate.culture import Culture, Habit, Index
from baikal_training.simulate.culture_scene import PLANE_SPACING, CultureScene, Layer, scattered
from baikal_training.simulate.grain import Plane, grain
from baikal_training.simulate.packing import Points
from baikal_training.simulate.stain import Dots, Stain, balls, drawn, joined

CELL = (55.0, 280.0)  # distance between cells
RADIUS = (0.3, 6.0)
DENSITY = (2.0, 40.0)  # vesicles per 1000 pixels, where they are densest
FILLING = 10.0  # stained points per square of a vesicle's radius
MOST = 400_000  # stained points of a picture, about: larger vesicles are fewer
DIFFUSE = (0.004, 0.2)  # brightness of the cytoplasm, where a bright point of a vesicle is 1


class Vesicles(CultureScene):
    label: ClassVar[str] = "vesicles"

    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        layer = Layer.random(rng, painted, Habit.adherent(rng, *CELL))
        dots = _vesicles(rng, layer)
        if rng.random() < 0.4:
            dots = joined(dots, _golgi(rng, layer))
        cytoplasm = layer.body(layer.cytoplasm(rng, float(np.exp(rng.normal(0, 0.6)))))
        bright = float(np.percentile(dots.weights, 90)) if len(dots.weights) else 1.0
        return Stain(dots, np.float32(bright * np.exp(rng.uniform(*np.log(DIFFUSE)))) * cytoplasm)


def _vesicles(rng: Generator, layer: Layer) -> Dots:
    """Vesicles all over the cells; each picture has its own sizes, densities and share of rings."""
    chance, rings = _chance(rng, layer.culture), rng.random()
    radius, density = (float(np.exp(rng.uniform(*np.log(span)))) for span in (RADIUS, DENSITY))
    affordable = MOST / (4 + 4 * FILLING * radius**2)
    count = rng.poisson(min(density * float(chance.sum()) / 1000, affordable))
    rows, columns = drawn(rng, chance, count)
    radii = radius * np.exp(rng.normal(0, rng.uniform(0.1, 0.6), count))
    hollow = rng.random(count) < (rings if radius > 1.5 else 0)
    level = np.exp(rng.normal(0, rng.uniform(0.2, 1.0), count)) * radii ** rng.uniform(0, 2)
    planes = layer.planes_at(rows, columns, rng.uniform(0, 1, count))
    return _round(rng, np.stack([planes, rows, columns]), radii, level, hollow)


def _chance(rng: Generator, culture: Culture) -> Plane:
    """Where vesicles are, up to 1 (Y, X): around the nucleus, in patches, or everywhere."""
    around = np.exp(-np.abs(culture.nucleus - 1.2) / rng.uniform(0.3, 4.0))
    patches = grain(rng, culture.edge.shape, rng.uniform(6, 30))
    chance = np.minimum(around * np.exp(rng.uniform(0, 1) * patches - 0.5), 1)
    place = (culture.edge > 2) & ((culture.nucleus > 1) | (rng.random() < 0.2))
    return np.asarray(chance * place, np.float32)


def _golgi(rng: Generator, layer: Layer) -> Dots:
    """A cluster at one side of every nucleus."""
    culture = layer.culture
    cells = len(culture.sizes)
    cell = np.repeat(np.arange(cells), rng.poisson(rng.uniform(10, 60), cells))
    thick = (culture.sizes * rng.uniform(0.06, 0.2))[cell]
    angle = rng.uniform(0, 2 * np.pi, cells)[cell] + rng.normal(0, rng.uniform(0.2, 0.8), len(cell))
    far = 0.45 * culture.sizes[cell] + thick * rng.standard_normal(len(cell))
    rows, columns = culture.centres[cell].T + far * np.stack([np.sin(angle), np.cos(angle)])
    planes = layer.planes_at(rows, columns, rng.uniform(0.2, 0.8, len(cell)))
    radii = np.clip(0.25 * thick, 0.5, 4) * np.exp(rng.normal(0, 0.4, len(cell)))
    level = culture.levels[cell] * np.exp(rng.normal(0, 0.5, len(cell))) * radii
    return _round(rng, np.stack([planes, rows, columns]), radii, level, np.zeros(len(cell), bool))


def _round(rng: Generator, centres: Points, radii: Points, level: Points, hollow: NDArray[np.bool_]) -> Dots:
    """Balls around places (3, n), or their surfaces; `level` is the stain of a whole ball (n,)."""
    count = np.ceil(4 + FILLING * radii**2).astype(int)
    thing: Index = np.repeat(np.arange(len(radii)), count)
    up, down, right = balls(rng, hollow[thing]) * radii[thing]
    planes, rows, columns = centres[:, thing]
    places = scattered(rng, planes + up / PLANE_SPACING, rows + down, columns + right)
    return Dots(places, (level / count)[thing], thing)
