"""Sequences and stacks for neighbours.py: simulated time lapses and volumes, recorded stacks, real frames."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift, zoom
from skimage.io import imread
from specimens import SPECIMENS

from baikal_training.camera import Camera
from baikal_training.simulate import simulate

Stack = NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """One row of the benchmark.

    Attributes:
        model: that denoises it.
        name: of the row.
        noisy: planes (N, H, W).
        truth: the same without noise.
        axis: along which they lie, "t" or "z".
    """

    model: str
    name: str
    noisy: NDArray[np.generic]
    truth: Stack
    axis: str

    @classmethod
    def exposed(cls, model: str, name: str, clean: Stack, axis: str, given: argparse.Namespace) -> Case:
        """Clean planes (0 … 1) with the noise of a camera."""
        camera, seed = Camera.at_psnr(clean, given.psnr), SEEDS[given.half]
        return cls(model, name, camera.expose(clean, seed), camera.expected(clean).astype(float), axis)


SEEDS = {"fit": 300, "told": 700}


def static(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    return np.repeat(parts.sum(0)[None], frames, axis=0)


def drift(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    return np.stack([shift(parts.sum(0), 0.4 * frame, order=1, mode="grid-wrap") for frame in range(frames)])


def moving(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    speeds = [rng.uniform(0, 3) * np.array([np.cos(a), np.sin(a)]) for a in rng.uniform(0, 7, len(parts))]
    return np.stack(
        [
            sum(shift(parts[i], frame * speeds[i], order=1, mode="grid-wrap") for i in range(len(parts)))
            for frame in range(frames)
        ]
    )


def flashes(parts: Stack, frames: int, rng: np.random.Generator, height: float = 1.2) -> Stack:
    sequence = static(parts, frames, rng)
    for frame in range(1, frames, 3):
        sequence[frame] += height * parts[rng.integers(len(parts))]
    return sequence


def dim(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    return flashes(parts, frames, rng, 0.6)


def appearing(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    starts = np.where(np.arange(len(parts)) % 2, 0, rng.integers(1, frames, len(parts)))
    return np.stack([parts[starts <= frame].sum(0) for frame in range(frames)])


def dividing(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    sequence = static(parts, frames, rng)
    for number in rng.permutation(len(parts))[: len(parts) // 2]:
        start, angle = rng.integers(1, frames - 2), rng.uniform(0, 2 * np.pi)
        for frame in range(start, frames):
            way = (2 + 1.5 * (frame - start)) * np.array([np.cos(angle), np.sin(angle)])
            halves = sum(shift(parts[number], side * way, order=1, mode="grid-wrap") for side in (-1, 1))
            sequence[frame] += 0.55 * halves - parts[number]
    return sequence


def bleaching(parts: Stack, frames: int, rng: np.random.Generator) -> Stack:
    return static(parts, frames, rng) * (0.96 ** np.arange(frames))[:, None, None]


LAPSES: dict[str, Callable[[Stack, int, np.random.Generator], Stack]] = {
    made.__name__: made for made in (static, drift, moving, flashes, dim, appearing, dividing, bleaching)
}


def parts_of(side: int, seed: int) -> Stack:
    """Twelve planes of simulated nuclei, each with those of a few columns: they sum up to one scene."""
    whole = simulate("nuclei", (1, 8, side, side), seed)[0]
    planes = (whole[4] - whole.min()) * 0.45  # room for flashes
    masks = np.indices(planes.shape).sum(0) * 12 // (2 * side)
    return np.stack([np.where(masks == number, planes, 0) for number in range(12)])


def cases(given: argparse.Namespace) -> Iterator[Case]:
    """All that the options ask for."""
    if given.frames_of or given.stack:
        yield from real(given)
        yield from recorded(given)
        return
    yield from simulated(given)


def simulated(given: argparse.Namespace) -> Iterator[Case]:
    seed = SEEDS[given.half]
    for name, make in LAPSES.items():
        if not given.only or name in given.only:
            made = make(parts_of(given.side, seed), given.frames, np.random.default_rng(seed))
            yield Case.exposed("nuclei", name, np.clip(made, 0, 1).astype(np.float32), "t", given)
    for model, morphology in [*SPECIMENS.items(), ("nuclei", "planaria")]:
        if not given.only or morphology in given.only:
            whole = simulate(morphology, (1, 2 * given.frames, given.side, given.side), seed)[0]
            fine = zoom(whole[: given.frames // 2 + 1], (2, 1, 1), order=3)
            for spacing, planes in (("fine", np.clip(fine, 0, 1)), ("made", whole), ("coarse", whole[::2])):
                yield Case.exposed(model, f"{morphology} z/{spacing}", planes[: given.frames], "z", given)


def recorded(given: argparse.Namespace) -> Iterator[Case]:
    for axis, path in given.stack:
        planes = imread(path).astype(np.float32)
        planes = planes.reshape(-1, *planes.shape[-2:])[: given.frames, : given.side, : given.side]
        low, high = np.percentile(planes, (0.5, 99.9))
        yield Case.exposed("nuclei", path, np.clip((planes - low) / (high - low), 0, 1), axis, given)


def real(given: argparse.Namespace) -> Iterator[Case]:
    for truth, *frames in given.frames_of:
        noisy = np.stack([imread(frame) for frame in frames])[:, : given.side, : given.side]
        clean = imread(truth).astype(float)[: given.side, : given.side]
        yield Case("nuclei", truth, noisy, np.broadcast_to(clean, noisy.shape), "t")
