"""The three samplers once more, in plain float64 loops that know nothing of the package.

Noise is injected as noise(visit, draw). How visits count: 0 is the start of a run; every reverse step
and every renoise step is a new visit. Draw 0 is the main one and draw 1 the mixing one; each
further run uses the next two. Mixing before a step therefore draws at the visit that led to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
"""Numbers or arrays of float64."""
Network = Callable[[Array, int], tuple[Array, Array]]
Noise = Callable[[int, int], Array]


@dataclass
class Parameters:
    start: int = 60
    steps: str = "1000"
    clip: str = "unit"
    variance: str = "fixed_small"
    runs: int = 1
    stop: int = 20
    weights: str = "linear"
    w_start: float = 0.3
    w_end: float = 0.01
    mix: str = "after"
    interval: int | None = 5
    repeats: int = 2
    renoise: bool = False
    final_repeats: int | None = None


@dataclass
class Case:
    p: Parameters
    network: Network
    y: Array
    guide: Array
    noise: Noise


class Tables:
    """The linear schedule of 1000 timesteps, respaced."""

    def __init__(self, p: Parameters) -> None:
        full = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))
        self.t = kept_timesteps(p.steps, p.start)
        self.abar = np.array([full[t] for t in self.t])
        self.before = np.array([1.0] + [full[t] for t in self.t[:-1]])
        self.beta = 1 - self.abar / self.before
        self.small = self.beta * (1 - self.before) / (1 - self.abar)
        self.start = sum(t < p.start for t in self.t)
        self.stop = sum(t < p.stop for t in self.t)


def kept_timesteps(steps: str, start: int) -> list[int]:
    if steps.startswith("ddim"):
        stride = next(s for s in range(1, 1000) if len(range(0, 1000, s)) == int(steps[4:]))
        return list(range(0, 1000, stride))
    if steps.startswith("walk"):
        return [*sections(min(int(steps[4:]), start), start), start]
    return sections(int(steps), 1000)


def sections(count: int, total: int) -> list[int]:
    kept, position = [], 0.0
    for _ in range(count):
        kept.append(round(position))
        position += (total - 1) / (count - 1) if count > 1 else 1.0
    return kept


def q(s: Tables, image: Array, i: int, z: Array) -> Array:
    return np.sqrt(s.abar[i]) * image + np.sqrt(1 - s.abar[i]) * z


def reverse(c: Case, s: Tables, x: Array, i: int, z: Array) -> Array:
    eps, v = c.network(x, s.t[i])
    x0 = np.sqrt(1 / s.abar[i]) * x - np.sqrt(1 / s.abar[i] - 1) * eps
    if c.p.clip == "unit":
        x0 = np.clip(x0, -1, 1)
    else:
        x0 = np.clip(x0, np.minimum(c.y, -1.15), np.maximum(c.y, 2.2))
    mean = s.beta[i] * np.sqrt(s.before[i]) / (1 - s.abar[i]) * x0
    mean = mean + (1 - s.before[i]) * np.sqrt(1 - s.beta[i]) / (1 - s.abar[i]) * x
    if i == 0:
        return mean
    f = (v + 1) / 2
    variances = {
        "fixed_small": s.small[i],
        "fixed_large": s.beta[i],
        "learned_range": np.exp(f * np.log(s.beta[i]) + (1 - f) * np.log(s.small[i])),
    }
    return mean + np.sqrt(variances[c.p.variance]) * z


def weight(p: Parameters, s: Tables, i: int) -> float:
    if not s.stop <= i < s.start:
        return 0.0
    if p.weights == "constant":
        return p.w_start
    if p.weights == "linear":
        return float(np.linspace(p.w_end, p.w_start, s.start - s.stop)[i - s.stop])
    if p.weights == "cosine":
        shape = np.cos((i - s.start) / (s.stop - s.start) * np.pi / 2)
    else:
        shape = np.exp(0.1 * (i - s.start))
    return float(shape * (p.w_start - p.w_end) + p.w_end)


def mixed(c: Case, s: Tables, x: Array, i: int, z: Array) -> Array:
    w = weight(c.p, s, i)
    return (1 - w) * x + w * q(s, c.guide, i, z)


def forward_backward(c: Case) -> Array:
    s, total = Tables(c.p), np.zeros_like(c.y)
    for run in range(c.p.runs):
        visit = 0
        x = q(s, c.guide, s.start, c.noise(visit, 2 * run))
        for i in range(s.start - 1, -1, -1):
            visit += 1
            x = reverse(c, s, x, i, c.noise(visit, 2 * run))
        total += x
    return total / c.p.runs


def mixing(c: Case) -> Array:
    s, total = Tables(c.p), np.zeros_like(c.y)
    for run in range(c.p.runs):
        visit = 0
        x = q(s, c.y, s.start, c.noise(visit, 2 * run))
        for i in range(s.start - 1, -1, -1):
            if c.p.mix == "before":
                x = mixed(c, s, x, i, c.noise(visit, 2 * run + 1))
            visit += 1
            x = reverse(c, s, x, i, c.noise(visit, 2 * run))
            if c.p.mix == "after":
                x = mixed(c, s, x, i, c.noise(visit, 2 * run + 1))
        total += x
    return total / c.p.runs


def repaint(c: Case) -> Array:
    s, total = Tables(c.p), np.zeros_like(c.y)
    for run in range(c.p.runs):
        visit = 0
        x = q(s, c.y, s.start, c.noise(visit, 2 * run))
        top = s.start
        while top > 0:
            bottom = 0 if c.p.interval is None else max(0, top - c.p.interval)
            repeats = c.p.repeats
            if top <= s.stop and c.p.final_repeats is not None:
                repeats = c.p.final_repeats
            for repeat in range(repeats):
                if c.p.renoise and repeat > 0:
                    for i in range(bottom, top):
                        visit += 1
                        x = np.sqrt(1 - s.beta[i]) * x + np.sqrt(s.beta[i]) * c.noise(visit, 2 * run)
                for i in range(top - 1, bottom - 1, -1):
                    if c.p.mix == "before":
                        x = mixed(c, s, x, i, c.noise(visit, 2 * run + 1))
                    visit += 1
                    x = reverse(c, s, x, i, c.noise(visit, 2 * run))
                    if c.p.mix == "after":
                        x = mixed(c, s, x, i, c.noise(visit, 2 * run + 1))
            top = bottom
        total += x
    return total / c.p.runs
