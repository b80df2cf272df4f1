"""Mitochondria: threads, networks and fragments around the nuclei; filled, or only their membranes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from baikal_training.simulate.culture import Culture, Habit, Index
from baikal_training.simulate.culture_scene import PLANE_SPACING, CultureScene, Layer, scattered
from baikal_training.simulate.grain import Plane, grain
from baikal_training.simulate.packing import Points
from baikal_training.simulate.stain import Dots, Stain, balls, drawn
from baikal_training.simulate.threads import STEP, Ground, Growth, Threads

CELL = (70.0, 280.0)  # distance between cells
RADIUS = (0.7, 3.5)  # of a thread
LENGTH = (1.5, 40.0)  # of a thread, in radii: from fragments to a network
COVERED = (0.2, 1.2)  # area of the threads over that of the cell, where they are densest
AROUND = (6, 6)  # stained points at a step of a thread: some, and more per pixel of its radius


class Mitochondria(CultureScene):
    label: ClassVar[str] = "mitochondria"

    def stain(self, rng: Generator, painted: tuple[int, ...]) -> Stain:
        layer = Layer.random(rng, painted, Habit.adherent(rng, *CELL))
        radius, length = (float(np.exp(rng.uniform(*np.log(span)))) for span in (RADIUS, LENGTH))
        threads = _threads(rng, layer.culture, radius, length * radius)
        dots = _tubes(rng, layer, threads, radius, hollow=radius > 1.5 and rng.random() < 0.5)
        return Stain(dots, layer.diffuse(rng, dots, rng.uniform(0, 1.2) ** 2, rng.uniform(0.2, 1.2)))


def _threads(rng: Generator, culture: Culture, radius: float, length: float) -> Threads:
    """Threads of a mean length; some branch off others."""
    ground = _ground(rng, culture, radius)
    starts = _starts(rng, culture, ground, (length + 2 * radius) * (2 * radius + 1))
    headings = ground.axes(starts.T) + rng.normal(0, rng.choice([0.5, 3.0]), len(starts))
    growth = Growth(max(int(2 * length / STEP), 2), rng.uniform(0.05, 0.16) / np.sqrt(radius), 0.02)
    trunks = Threads.grow(rng, starts, headings, ground, growth)
    step, thread = np.nonzero(trunks.alive)
    fork = rng.integers(0, max(len(step), 1), int(len(starts) * rng.uniform(0, 1)) if len(step) else 0)
    at = step[fork], thread[fork]
    aside = rng.choice([-1, 1], len(fork)) * rng.uniform(0.6, 1.5)
    places = np.stack([trunks.rows[at], trunks.columns[at]], 1)
    branches = Threads.grow(rng, places, trunks.headings[at] + aside, ground, growth)
    return Threads.together(trunks, branches)


def _ground(rng: Generator, culture: Culture, radius: float) -> Ground:
    """The cells without their nuclei."""
    free = (culture.nucleus > 1.08) & (culture.edge > radius)
    beside = (culture.nucleus - 1) * np.float32(0.35 * np.median(culture.sizes))
    room = np.minimum(culture.edge, beside)
    drift = np.float32(0.6) * grain(rng, room.shape, 30.0)
    return Ground(np.where(free, culture.owner, -1), room, culture.angles, drift)


def _starts(rng: Generator, culture: Culture, ground: Ground, area: float) -> Points:
    """Where threads of an `area` begin (n, 2): more of them near the nucleus, in patches."""
    near: Plane = np.exp(-(culture.nucleus - 1) / rng.uniform(0.3, 2.0))
    near = np.where(ground.owner >= 0, near * np.exp(0.5 * grain(rng, near.shape, 25.0)), 0)
    densest = 4 * rng.uniform(*COVERED) * float(near.sum()) / max(float(near.max()), 1e-6)
    most = 0.35 * np.count_nonzero(ground.owner >= 0)
    return drawn(rng, near, rng.poisson(min(densest, most) / area)).T


def _tubes(rng: Generator, layer: Layer, threads: Threads, radius: float, *, hollow: bool) -> Dots:
    """Points within the tubes, or on their walls; tubes differ in width, height and brightness."""
    around = round(AROUND[0] + AROUND[1] * radius * (1 + hollow))
    step, thread = (np.repeat(part, around) for part in np.nonzero(threads.alive))
    count: int = threads.alive.shape[1]
    width = radius * np.exp(0.2 * rng.standard_normal(count))[thread]
    width = width * (1 + 0.25 * np.sin(0.35 * step + rng.uniform(0, 2 * np.pi, count)[thread]))
    up, aside, along = width * _section(rng, threads, step, thread, hollow=hollow)
    heading = threads.headings[step, thread]
    rows = threads.rows[step, thread] + aside * np.cos(heading) + along * np.sin(heading)
    columns = threads.columns[step, thread] - aside * np.sin(heading) + along * np.cos(heading)
    planes = layer.planes_at(rows, columns, rng.beta(1.2, 1.2, count)[thread]) + up / PLANE_SPACING
    level = np.exp(rng.uniform(0.2, 0.6) * rng.standard_normal(count))[thread]
    return Dots(scattered(rng, planes, rows, columns), level * rng.uniform(0.5, 1.5, len(step)), thread)


def _section(rng: Generator, threads: Threads, step: Index, thread: Index, *, hollow: bool) -> Points:
    """Places (3, n) about the axis of a tube of radius 1: up, aside, along. Walls close at its ends."""
    ball = balls(rng, np.full(len(step), hollow))
    if not hollow:
        return ball
    following = np.minimum(step + 1, len(threads.alive) - 1)
    ends = (step == 0) | (following == step) | ~threads.alive[following, thread]
    wall = ball * np.array([1, 1, 0])[:, None] / np.hypot(ball[0], ball[1])
    return np.where(ends, ball, wall)
