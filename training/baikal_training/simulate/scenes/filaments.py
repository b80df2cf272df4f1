"""Filaments of the cytoskeleton: microtubules from a centre, and bundles of actin."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from baikal_training.simulate.culture import Culture, Habit
from baikal_training.simulate.culture_scene import CultureScene, Layer, scattered
from baikal_training.simulate.grain import grain
from baikal_training.simulate.packing import Points
from baikal_training.simulate.stain import Dots, Stain, joined
from baikal_training.simulate.threads import STEP, Ground, Growth, Threads

SPECKLE = 0.35
"""Unevenness of the label along a filament."""


class Filaments(CultureScene):
    label: ClassVar[str] = "cytoskeleton"

    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        layer = Layer.random(rng, painted, _habit(rng))
        draw = (_microtubules, _actin)[int(rng.random() < 0.5)]
        dots = draw(rng, layer)
        diffuse = layer.body(layer.cytoplasm(rng, rng.uniform(0.3, 1.3)))
        density = dots.weights.sum() / max(float(diffuse.sum()), 1e-6)
        return Stain(dots, np.float32(density * rng.uniform(0, 1.2) ** 2) * diffuse)


def _habit(rng: Generator) -> Habit:
    return Habit(
        distance=float(np.exp(rng.uniform(np.log(60), np.log(330)))),
        spread=0.1,
        fill=rng.uniform(0.85, 1.6),
        share=rng.uniform(0.65, 1.0),
        longer=rng.uniform(1.0, 2.6),
        aligned=bool(rng.random() < 0.4),
        lobes=rng.uniform(0.1, 0.5),
        tips=int(rng.integers(0, 5)),
        rough=0.0,
    )


def _ground(rng: Generator, culture: Culture, drift: float) -> Ground:
    field = drift * grain(rng, culture.edge.shape, 40.0)
    return Ground(culture.owner, culture.edge, culture.angles, field)


def _microtubules(rng: Generator, layer: Layer) -> Dots:
    """A network from a centre beside the nucleus, and some that begin elsewhere."""
    culture = layer.culture
    density = np.exp(rng.uniform(np.log(0.5), np.log(4)))
    count = rng.poisson(density * np.clip(culture.sizes, 20, 250) * rng.uniform(0.8, 1.2, len(culture.sizes)))
    home = np.repeat(np.arange(len(count)), count)
    offset = rng.normal(0, 0.2, culture.centres.shape) * culture.sizes[:, None]
    jitter = rng.normal(0, rng.choice([1.5, 6.0]), (len(home), 2))
    spread = rng.normal(0, 0.45, (len(home), 2)) * culture.sizes[home][:, None]
    away = rng.random(len(home)) < rng.uniform(0.1, 0.7)
    starts = (culture.centres + offset)[home] + np.where(away[:, None], spread, jitter)
    headings = rng.uniform(0, 2 * np.pi, len(home))
    reach = int(np.clip(1.6 * np.median(culture.sizes) / STEP, 30, 400))
    wiggle = float(np.exp(rng.uniform(np.log(0.003), np.log(0.02))))
    growth = Growth(reach, wiggle, float(rng.choice([0, 0.03])))
    threads = Threads.grow(rng, starts, headings, _ground(rng, culture, 0.3), growth)
    return _dots(rng, layer, threads, rng.uniform(0, 0.4), 0.0)


def _actin(rng: Generator, layer: Layer) -> Dots:
    """Bundles along the cell, a mesh between them, and the cortex with its spikes."""
    culture = layer.culture
    inside = np.flatnonzero(culture.owner.ravel() >= 0)
    if not len(inside):
        return _empty()
    ground = _ground(rng, culture, rng.uniform(0.05, 0.5))
    length = int(np.clip(1.5 * np.median(culture.sizes) / STEP, 25, 300))
    strands = _strands(rng, ground, inside, rng.uniform(2, 12), Growth(length, 0.006, rng.uniform(0.05, 0.2)))
    mesh = _strands(rng, ground, inside, rng.uniform(0, 12), Growth(max(length // 6, 12), 0.05))
    parts = [
        _dots(rng, layer, strands, rng.uniform(0.2, 0.45), rng.uniform(0.2, 1.0)),
        _dots(rng, layer, mesh, 0.25, 0.0),
        _cortex(rng, layer, rng.uniform(0, 1.5)),
        _spikes(rng, layer),
    ]
    return joined(*parts)


def _strands(rng: Generator, ground: Ground, inside: Points, density: float, growth: Growth) -> Threads:
    """Threads from anywhere in the cells along their axis, `density` per 1000 pixels."""
    first = rng.choice(inside, rng.poisson(density * len(inside) / 1000))
    starts = np.stack(np.unravel_index(first, ground.owner.shape), 1).astype(float)
    headings = ground.axes(starts.T) + np.pi * rng.integers(0, 2, len(first))
    headings = headings + rng.normal(0, 0.1 if growth.pull else 3.0, len(first))
    return Threads.grow(rng, starts, headings, ground, growth)


def _cortex(rng: Generator, layer: Layer, level: float) -> Dots:
    """Stain along the outlines of the cells, here more and there less."""
    culture = layer.culture
    near = np.exp(-(culture.edge**2) / 2 / rng.uniform(0.8, 2) ** 2) * (culture.owner >= 0)
    near = near * np.exp(0.7 * grain(rng, near.shape, 12.0)) * culture.level()
    row, column = np.nonzero(near > 0.05)
    weights = level * near[row, column] * rng.uniform(0.3, 1.7, len(row))
    planes = layer.planes_at(row, column, rng.uniform(0, 1, len(row)))
    return Dots(
        scattered(rng, planes, row.astype(float), column.astype(float)), weights, culture.owner[row, column]
    )


def _spikes(rng: Generator, layer: Layer) -> Dots:
    """Short straight filaments that stand out of the free outlines."""
    culture = layer.culture
    row, column = np.nonzero((np.abs(culture.free) < 1) & (culture.shared > 2) & (culture.reach < 2))
    if not len(row):
        return _empty()
    pick = rng.integers(0, len(row), rng.poisson(len(row) * rng.uniform(0, 0.12)))
    down, right = (-part[row[pick], column[pick]] for part in np.gradient(culture.free))
    angle = np.arctan2(down, right) + rng.normal(0, 0.35, len(pick))
    along = np.arange(-6, 40) * STEP
    length = rng.gamma(2.0, 4.0, len(pick))
    rows = row[pick] + np.sin(angle) * along[:, None]
    columns = column[pick] + np.cos(angle) * along[:, None]
    alive = along[:, None] < length
    threads = Threads(rows, columns, np.broadcast_to(angle, rows.shape), alive)
    return _dots(rng, layer, threads, 0.25, 0.0)


def _dots(rng: Generator, layer: Layer, threads: Threads, uneven: float, width: float) -> Dots:
    """Stained threads: lognormal brightness, of a spread `uneven`; bundles of sigma `width`."""
    step, thread = np.nonzero(threads.alive)
    count = threads.alive.shape[1]
    level = np.exp(rng.normal(0, 2 * uneven, count))
    share = np.clip(rng.uniform(0, 1, count)[thread] + rng.normal(0, 0.002, count)[thread] * step, 0, 1)
    rows, columns = threads.rows[step, thread], threads.columns[step, thread]
    spread = width * np.exp(rng.normal(0, 0.4, count))[thread] * rng.standard_normal(len(step))
    heading = threads.headings[step, thread]
    rows, columns = rows + spread * np.cos(heading), columns - spread * np.sin(heading)
    weights = level[thread] * np.exp(SPECKLE * rng.standard_normal(len(step)))
    planes = layer.planes_at(rows, columns, share)
    return Dots(scattered(rng, planes, rows, columns), weights, thread)


def _empty() -> Dots:
    return Dots(np.zeros((3, 0)), np.zeros(0), np.zeros(0, np.intp))
