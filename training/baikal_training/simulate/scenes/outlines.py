"""Outlines of cells: membranes of tissues and of single cells, with gaps, double lines and folds.

Unlike `flywing`, borders are curved, cells of many sizes lie side by side, and some end in the dark.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.random import Generator
from scipy.ndimage import map_coordinates

from baikal_training.simulate.culture import Culture, Habit
from baikal_training.simulate.culture_scene import CultureScene, Layer
from baikal_training.simulate.grain import Plane, grain
from baikal_training.simulate.scenes.base import Volume
from baikal_training.simulate.stain import Dots, Stain

CELL = (18.0, 220.0)  # distance between cells
WIDTH = (0.6, 3.0)  # sigma of a membrane
APART = 0.35  # share of pictures with cells apart; in the others they fill the field
DOUBLE = 0.3  # share with double lines where cells meet
GAPS = 0.4  # share with broken lines
INSIDE = (0.005, 0.3)  # brightness of the cytoplasm, where a membrane is about 1


class Outlines(CultureScene):
    label: ClassVar[str] = "membranes"

    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        layer = Layer.random(rng, painted, _habit(rng))
        culture = layer.culture
        flat = _borders(rng, culture) * _unevenness(rng, culture)
        walls = _upright(rng, layer, flat, float(np.median(culture.sizes)))
        inside = layer.cytoplasm(rng, float(np.exp(rng.normal(0, 0.6))))
        level = np.float32(np.exp(rng.uniform(*np.log(INSIDE))))
        return Stain(_specks(rng, layer), walls + layer.body(level * inside))


def _habit(rng: Generator) -> Habit:
    """A tissue that fills the field, or cells apart."""
    apart = rng.random() < APART
    distance = float(np.exp(rng.uniform(*np.log(CELL))))
    return Habit(
        distance=distance,
        spread=rng.uniform(0, 0.5),
        fill=rng.uniform(0.7, 1.25) if apart else rng.uniform(1.4, 1.9),
        share=rng.uniform(0.5, 1.0) if apart else 1.0,
        longer=float(np.exp(rng.uniform(0, np.log(2.2)))),
        aligned=bool(rng.random() < 0.6),
        lobes=rng.uniform(0, 0.4),
        tips=int(rng.integers(0, 3)) if apart else 0,
        rough=rng.uniform(0, 0.035) * min(distance, 70) * (rng.random() < 0.5),
    )


def _borders(rng: Generator, culture: Culture) -> Plane:
    """Membranes seen from above, about 1 (Y, X): single or double lines where cells meet."""
    size = float(np.median(culture.sizes))
    width = min(float(np.exp(rng.uniform(*np.log(WIDTH)))), 0.12 * size)
    double = min(rng.uniform(1.5, 4.0) * width, 0.12 * size) if rng.random() < DOUBLE else 0.0
    apart = double * np.clip(0.5 + 0.7 * grain(rng, culture.edge.shape, 25.0), 0, 1)
    shared = _line(culture.shared - apart, width) * (culture.free > 0)
    free = _line(culture.free, width)
    return np.asarray(np.maximum(shared, free), np.float32)


def _line(distance: Plane, width: float) -> Plane:
    return np.exp(-np.minimum((distance / width) ** 2 / 2, 30))


def _unevenness(rng: Generator, culture: Culture) -> Plane:
    """Factor (Y, X): each border has a brightness, with beads, and gaps in some images."""
    shape, levels = culture.edge.shape, np.append(culture.levels, 1.0)
    pair = np.sqrt(levels[culture.owner] * levels[culture.other])
    beads = np.exp(
        rng.uniform(0, 0.5) * grain(rng, shape, 1.2) + rng.uniform(0, 0.4) * grain(rng, shape, 3.5)
    )
    slow = np.exp(rng.uniform(0.1, 0.5) * grain(rng, shape, 30.0))
    gaps = 1.0
    if rng.random() < GAPS:
        gaps = 1 / (1 + np.exp(-4 * (grain(rng, shape, rng.uniform(3, 12)) + rng.uniform(0.3, 1.3))))
    return np.asarray(pair * beads * slow * gaps, np.float32)


def _upright(rng: Generator, layer: Layer, flat: Plane, size: float) -> Volume:
    """Membranes (Z, Y, X) that stand on the plane and lean, each place its own way."""
    shape = flat.shape
    lean = rng.uniform(0.5, 2.0) * np.stack([grain(rng, shape, max(size, 8.0)) for _ in range(2)])
    rest = np.indices(shape, np.float32)
    belt, middle = rng.uniform(0.8, 3.0), layer.base + 0.5 * float(layer.height.max())
    below = 0.15 + 0.4 * rng.random()
    out = np.empty((layer.planes, *shape), np.float32)
    for plane in range(layer.planes):
        off = plane - middle
        strength = np.exp(-((off / belt) ** 2) / 2) + below * (abs(off) < 0.5 * layer.planes)
        out[plane] = strength * map_coordinates(flat, rest + off * lean, order=1, mode="nearest")
    return out


def _specks(rng: Generator, layer: Layer) -> Dots:
    """Bright points in the cells and on their membranes."""
    shape = layer.culture.edge.shape
    count = rng.poisson(rng.choice([0, 3e-4, 2e-3]) * np.prod(shape))
    places = np.stack([rng.uniform(0, n - 1, count) for n in (layer.planes, *shape)])
    return Dots(places, 6 * np.exp(rng.normal(0, 0.8, count)), np.arange(count))
