"""Filaments of the cytoskeleton: microtubules from a centre, and bundles of actin."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from baikal_training.simulate.culture import Culture, Habit, slopes
from baikal_training.simulate.culture_scene import CultureScene, Layer, scattered
from baikal_training.simulate.grain import grain
from baikal_training.simulate.packing import Points
from baikal_training.simulate.stain import Dots, Stain, drawn, joined
from baikal_training.simulate.threads import STEP, Ground, Growth, Threads

CELL = (60.0, 330.0)  # distance between cells
DENSITY = (0.5, 4.0)  # microtubules per pixel of a cell's radius
WIGGLE = (0.003, 0.02)  # of microtubules, see Growth
SPECKLE = 0.35  # unevenness of the label along a filament


class Filaments(CultureScene):
    label: ClassVar[str] = "cytoskeleton"

    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        layer = Layer.random(rng, painted, Habit.adherent(rng, *CELL))
        dots = _microtubules(rng, layer) if rng.random() < 0.5 else _actin(rng, layer)
        return Stain(dots, layer.diffuse(rng, dots, rng.uniform(0, 1.2) ** 2, rng.uniform(0.3, 1.3)))


def _ground(rng: Generator, culture: Culture, drift: float) -> Ground:
    field = drift * grain(rng, culture.edge.shape, 40.0)
    return Ground(culture.owner, culture.edge, culture.angles, field)


def _microtubules(rng: Generator, layer: Layer) -> Dots:
    """A network from a centre beside the nucleus, and some that begin elsewhere."""
    culture = layer.culture
    starts = _starts(rng, culture)
    headings = rng.uniform(0, 2 * np.pi, len(starts))
    steps = int(np.clip(1.6 * np.median(culture.sizes) / STEP, 30, 400))
    growth = Growth(steps, float(np.exp(rng.uniform(*np.log(WIGGLE)))), float(rng.choice([0, 0.03])))
    threads = Threads.grow(rng, starts, headings, _ground(rng, culture, 0.3), growth)
    return _dots(rng, layer, threads, rng.uniform(0, 0.8), 0.0)


def _starts(rng: Generator, culture: Culture) -> Points:
    """Where microtubules begin (n, 2); large cells have more of them."""
    density = np.exp(rng.uniform(*np.log(DENSITY)))
    count = rng.poisson(density * np.clip(culture.sizes, 20, 250))
    home = np.repeat(np.arange(len(count)), count)
    centres = culture.centres + 0.2 * culture.sizes[:, None] * rng.standard_normal(culture.centres.shape)
    near = rng.choice([1.5, 6.0]) * rng.standard_normal((len(home), 2))
    far = 0.45 * culture.sizes[home, None] * rng.standard_normal((len(home), 2))
    elsewhere = rng.random((len(home), 1)) < rng.uniform(0.1, 0.7)
    return np.asarray(centres[home] + np.where(elsewhere, far, near))


def _actin(rng: Generator, layer: Layer) -> Dots:
    """Bundles along the cell, a mesh between them, and the cortex with its spikes."""
    ground = _ground(rng, layer.culture, rng.uniform(0.05, 0.5))
    steps = int(np.clip(1.5 * np.median(layer.culture.sizes) / STEP, 25, 300))
    bundles = _strands(rng, ground, rng.uniform(2, 12), Growth(steps, 0.006, rng.uniform(0.05, 0.2)))
    mesh = _strands(rng, ground, rng.uniform(0, 12), Growth(max(steps // 6, 12), 0.05))
    return joined(
        _dots(rng, layer, bundles, rng.uniform(0.4, 0.9), rng.uniform(0.2, 1.0)),
        _dots(rng, layer, mesh, 0.5, 0.0),
        _cortex(rng, layer),
        _dots(rng, layer, _spikes(rng, layer.culture), 0.5, 0.0),
    )


def _strands(rng: Generator, ground: Ground, density: float, growth: Growth) -> Threads:
    """Threads from anywhere in the cells along their axis, `density` per 1000 pixels."""
    inside = (ground.owner >= 0).astype(np.float32)
    starts = drawn(rng, inside, rng.poisson(density * float(inside.sum()) / 1000)).T
    headings = ground.axes(starts.T) + np.pi * rng.integers(0, 2, len(starts))
    headings = headings + rng.normal(0, 0.1 if growth.pull else 3.0, len(starts))
    return Threads.grow(rng, starts, headings, ground, growth)


def _cortex(rng: Generator, layer: Layer) -> Dots:
    """Stain along the outlines of the cells, here more and there less."""
    culture, level = layer.culture, rng.uniform(0, 1.5)
    near = np.exp(-(culture.edge**2) / 2 / rng.uniform(0.8, 2) ** 2) * culture.level()
    near = near * np.exp(np.float32(0.7) * grain(rng, near.shape, 12.0))
    row, column = np.nonzero(near > 0.05)
    weights = level * near[row, column] * rng.uniform(0.3, 1.7, len(row))
    planes = layer.planes_at(row, column, rng.uniform(0, 1, len(row)))
    return Dots(scattered(rng, planes, row, column), weights, culture.owner[row, column])


def _spikes(rng: Generator, culture: Culture) -> Threads:
    """Short straight filaments that stand out of the free outlines."""
    row, column = np.nonzero((np.abs(culture.free) < 1) & (culture.shared > 2))
    pick = rng.integers(0, max(len(row), 1), rng.poisson(len(row) * rng.uniform(0, 0.12)))
    row, column = row[pick], column[pick]
    down, right = (-slope[row, column] for slope in slopes(culture.free))
    heading = np.arctan2(down, right) + rng.normal(0, 0.35, len(pick))
    along = np.arange(-6, 40)[:, None] * STEP
    alive = along < rng.gamma(2.0, 4.0, len(pick))
    headings = np.broadcast_to(heading, alive.shape)
    return Threads(row + np.sin(heading) * along, column + np.cos(heading) * along, headings, alive)


def _dots(rng: Generator, layer: Layer, threads: Threads, spread: float, width: float) -> Dots:
    """Stained threads: the logarithm of their brightness has a `spread`; bundles have a sigma `width`."""
    step, thread = np.nonzero(threads.alive)
    count: int = threads.alive.shape[1]
    level = np.exp(spread * rng.standard_normal(count))[thread]
    climb = rng.uniform(0, 1, count)[thread] + rng.normal(0, 0.002, count)[thread] * step
    aside = width * np.exp(0.4 * rng.standard_normal(count))[thread] * rng.standard_normal(len(step))
    heading = threads.headings[step, thread]
    rows = threads.rows[step, thread] + aside * np.cos(heading)
    columns = threads.columns[step, thread] - aside * np.sin(heading)
    planes = layer.planes_at(rows, columns, np.clip(climb, 0, 1))
    weights = level * np.exp(SPECKLE * rng.standard_normal(len(step)))
    return Dots(scattered(rng, planes, rows, columns), weights, thread)
