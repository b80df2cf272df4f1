"""Vesicles: spots, discs and rings of many sizes, clusters beside the nucleus, and diffuse cytoplasm."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from baikal_training.simulate.culture import Culture, Habit, Index
from baikal_training.simulate.culture_scene import CultureScene, Layer, scattered
from baikal_training.simulate.grain import Plane, grain
from baikal_training.simulate.packing import Points
from baikal_training.simulate.stain import Dots, Stain, joined

FILLING = 10.0
"""Stained points per square of a vesicle's radius."""
MOST = 400_000
"""Stained points of a picture, about: larger vesicles are fewer."""


class Vesicles(CultureScene):
    label: ClassVar[str] = "vesicles"

    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        layer = Layer.random(rng, painted, _habit(rng))
        diffuse = layer.body(layer.cytoplasm(rng, float(np.exp(rng.normal(0, 0.6)))))
        crowd = _vesicles(
            rng, layer, _chance(rng, layer.culture), float(np.exp(rng.uniform(np.log(0.8), np.log(30))))
        )
        parts = [crowd]
        if rng.random() < 0.4:
            parts.append(_golgi(rng, layer))
        dots = joined(*parts)
        bright = float(np.percentile(dots.weights, 90)) if len(dots.weights) else 1.0
        level = bright * np.exp(rng.uniform(np.log(0.004), np.log(0.2)))
        return Stain(dots, np.float32(level) * diffuse)


def _habit(rng: Generator) -> Habit:
    return Habit(
        distance=float(np.exp(rng.uniform(np.log(60), np.log(360)))),
        spread=0.15,
        fill=rng.uniform(0.8, 1.7),
        share=rng.uniform(0.6, 1.0),
        longer=rng.uniform(1.0, 2.2),
        aligned=bool(rng.random() < 0.3),
        lobes=rng.uniform(0.1, 0.4),
        tips=int(rng.integers(0, 4)),
        rough=0.0,
    )


def _chance(rng: Generator, culture: Culture) -> Plane:
    """Where vesicles are, up to 1 (Y, X): around the nucleus, in patches, or everywhere."""
    shape = culture.edge.shape
    around = np.exp(-np.abs(culture.nucleus - 1.2) / rng.uniform(0.3, 4.0))
    patches = np.exp(rng.uniform(0, 1) * grain(rng, shape, rng.uniform(6, 30)) - 0.5)
    inside = (culture.nucleus > 1) if rng.random() < 0.8 else True
    return np.asarray(np.minimum(around * patches, 1) * ((culture.edge > 2) & inside), np.float32)


def _vesicles(rng: Generator, layer: Layer, chance: Plane, density: float) -> Dots:
    """Vesicles, `density` per 1000 pixels where the chance is 1; each image has its own sizes."""
    share, radius = rng.random(), float(np.exp(rng.uniform(np.log(0.3), np.log(6))))
    sizes = rng.uniform(0.1, 0.6)
    count = rng.poisson(min(density * float(chance.sum()) / 1000, MOST / (4 + FILLING * 4 * radius**2)))
    rows, columns = _draw(rng, chance, count)
    radii = radius * np.exp(rng.normal(0, sizes, count))
    hollow = rng.random(count) < (0 if radius < 1.5 else share)
    level = np.exp(rng.normal(0, rng.uniform(0.2, 1.0), count)) * radii ** rng.uniform(0, 2)
    planes = layer.planes_at(rows, columns, rng.uniform(0, 1, count))
    return _balls(rng, np.stack([planes, rows, columns]), radii, level, hollow)


def _golgi(rng: Generator, layer: Layer) -> Dots:
    """Clusters of short stacks at one side of every nucleus."""
    culture = layer.culture
    cells = np.arange(len(culture.sizes))
    angle, size = rng.uniform(0, 2 * np.pi, len(cells)), culture.sizes * rng.uniform(0.06, 0.2)
    count = rng.poisson(rng.uniform(10, 60), len(cells))
    cell = np.repeat(cells, count)
    ring = angle[cell] + rng.normal(0, rng.uniform(0.2, 0.8), len(cell))
    far = culture.sizes[cell] * 0.45 + size[cell] * rng.standard_normal(len(cell))
    rows = culture.centres[cell, 0] + far * np.sin(ring)
    columns = culture.centres[cell, 1] + far * np.cos(ring)
    planes = layer.planes_at(rows, columns, rng.uniform(0.2, 0.8, len(cell)))
    radii = np.clip(0.25 * size[cell], 0.5, 4) * np.exp(rng.normal(0, 0.4, len(cell)))
    level = culture.levels[cell] * np.exp(rng.normal(0, 0.5, len(cell))) * radii
    return _balls(rng, np.stack([planes, rows, columns]), radii, level, np.zeros(len(cell), bool))


def _draw(rng: Generator, chance: Plane, count: int) -> tuple[Points, Points]:
    """Random places (rows, columns) of a density."""
    total = np.cumsum(chance.ravel(), dtype=np.float64)
    index = np.minimum(np.searchsorted(total, rng.uniform(0, total[-1], count)), chance.size - 1)
    row, column = np.unravel_index(index, chance.shape)
    return row + rng.uniform(-0.5, 0.5, count), column + rng.uniform(-0.5, 0.5, count)


def _balls(rng: Generator, centres: Points, radii: Points, level: Points, hollow: Points) -> Dots:
    """Balls around places (3, n), or their surfaces; `level` is the stain of a whole ball."""
    count = np.ceil(4 + FILLING * radii**2).astype(int)
    thing: Index = np.repeat(np.arange(len(radii)), count)
    ball = rng.standard_normal((3, len(thing)))
    ball /= np.linalg.norm(ball, axis=0)
    depth = np.where(hollow[thing], 1, rng.uniform(0, 1, len(thing)) ** (1 / 3))
    offset = ball * depth * radii[thing]
    squeeze = np.array([1 / 3, 1, 1])[:, None]  # planes are 3 pixels apart
    places = centres[:, thing] + offset * squeeze
    return Dots(scattered(rng, *places), (level / count)[thing], thing)
