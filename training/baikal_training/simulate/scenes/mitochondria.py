"""Mitochondria: threads, networks and fragments around the nuclei; filled, or only their membranes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.simulate.culture import Culture, Habit
from baikal_training.simulate.culture_scene import CultureScene, Layer, scattered
from baikal_training.simulate.grain import grain
from baikal_training.simulate.packing import Points
from baikal_training.simulate.stain import Dots, Stain
from baikal_training.simulate.threads import STEP, Ground, Growth, Threads

RING = (6, 6)
"""Stained points around a thread, at each step: some, and more per pixel of its radius."""


class Mitochondria(CultureScene):
    label: ClassVar[str] = "mitochondria"

    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        layer = Layer.random(rng, painted, _habit(rng))
        radius = float(np.exp(rng.uniform(np.log(0.7), np.log(3.5))))
        length = float(np.exp(rng.uniform(np.log(1.5), np.log(40)))) * radius
        threads = _threads(rng, layer.culture, radius, length)
        dots = _tubes(rng, layer, threads, radius, hollow=radius > 1.5 and rng.random() < 0.5)
        diffuse = layer.body(layer.cytoplasm(rng, rng.uniform(0.2, 1.2)))
        density = dots.weights.sum() / max(float(diffuse.sum()), 1e-6)
        return Stain(dots, np.float32(density * rng.uniform(0, 1.2) ** 2) * diffuse)


def _habit(rng: Generator) -> Habit:
    return Habit(
        distance=float(np.exp(rng.uniform(np.log(80), np.log(360)))),
        spread=0.1,
        fill=rng.uniform(0.9, 1.7),
        share=rng.uniform(0.6, 1.0),
        longer=rng.uniform(1.0, 2.4),
        aligned=bool(rng.random() < 0.3),
        lobes=rng.uniform(0.1, 0.5),
        tips=int(rng.integers(0, 4)),
        rough=0.0,
    )


def _threads(rng: Generator, culture: Culture, radius: float, length: float) -> Threads:
    """Threads of a mean length, dense near the nucleus; some branch off others."""
    outside = culture.nucleus > 1.08
    owner = np.where(outside & (culture.edge > radius), culture.owner, -1)
    room = np.minimum(culture.edge, (culture.nucleus - 1) * 0.35 * np.median(culture.sizes)).astype(
        np.float32
    )
    ground = Ground(owner, room, culture.angles, 0.6 * grain(rng, room.shape, 30.0))
    near = np.exp(-(culture.nucleus - 1) / rng.uniform(0.3, 2.0)) * np.exp(0.5 * grain(rng, room.shape, 25.0))
    chance = np.cumsum(np.where(owner >= 0, near, 0).ravel(), dtype=np.float64)
    covered = rng.uniform(0.2, 1.2) * chance[-1] / max(float(near[owner >= 0].max(initial=0)), 1e-6)
    count = rng.poisson(
        min(4 * covered, (owner >= 0).sum() * 0.35) / (length + 2 * radius) / (2 * radius + 1)
    )
    first = np.searchsorted(chance, rng.uniform(0, chance[-1], count))
    starts = np.stack(np.unravel_index(np.minimum(first, owner.size - 1), owner.shape), 1).astype(float)
    headings = ground.axes(starts.T) + rng.normal(0, rng.choice([0.5, 3.0]), count)
    growth = Growth(max(int(2 * length / STEP), 2), rng.uniform(0.05, 0.16) / np.sqrt(radius), 0.02)
    trunks = Threads.grow(rng, starts, headings, ground, growth)
    step, thread = np.nonzero(trunks.alive)
    fork = rng.integers(0, max(len(step), 1), int(len(headings) * rng.uniform(0, 1)) if len(step) else 0)
    place = trunks.rows[step[fork], thread[fork]], trunks.columns[step[fork], thread[fork]]
    aside = trunks.headings[step[fork], thread[fork]] + rng.choice([-1, 1], len(fork)) * rng.uniform(0.6, 1.5)
    branches = Threads.grow(rng, np.stack(place, 1), aside, ground, growth)
    return Threads.together(trunks, branches)


def _tubes(rng: Generator, layer: Layer, threads: Threads, radius: float, *, hollow: bool) -> Dots:
    """Points within the tubes, or on their walls; tubes differ in width, height and brightness."""
    around = round(RING[0] + RING[1] * radius * (1 + hollow))
    step, thread = (np.repeat(part, around) for part in np.nonzero(threads.alive))
    count = threads.alive.shape[1]
    width = radius * np.exp(rng.normal(0, 0.2, count))[thread]
    width = width * (1 + 0.25 * np.sin(step * 0.35 + rng.uniform(0, 6, count)[thread]))
    ball = _ball(rng, len(step), hollow=hollow)
    ends = (step == 0) | ~threads.alive[np.minimum(step + 1, len(threads.alive) - 1), thread]
    if hollow:  # a wall around the axis, closed at the ends
        round_axis = np.hypot(ball[0], ball[1])
        ball = np.where(ends, ball, np.stack([ball[0] / round_axis, ball[1] / round_axis, 0 * ball[2]]))
    offset = ball * width
    heading = threads.headings[step, thread]
    rows = threads.rows[step, thread] + offset[1] * np.cos(heading) + offset[2] * np.sin(heading)
    columns = threads.columns[step, thread] - offset[1] * np.sin(heading) + offset[2] * np.cos(heading)
    share = rng.beta(1.2, 1.2, count)[thread]
    planes = layer.planes_at(rows, columns, share) + offset[0] / 3.0
    level = np.exp(rng.normal(0, rng.uniform(0.1, 0.6), count)) * np.exp(rng.normal(0, 0.2, count))
    return Dots(
        scattered(rng, planes, rows, columns), level[thread] * rng.uniform(0.5, 1.5, len(step)), thread
    )


def _ball(rng: Generator, count: int, *, hollow: bool) -> NDArray[np.float64]:
    """Random points (3, n) of the unit ball, or of its surface."""
    ball = rng.standard_normal((3, count))
    ball /= np.linalg.norm(ball, axis=0)
    return ball if hollow else ball * rng.uniform(0, 1, count) ** (1 / 3)
