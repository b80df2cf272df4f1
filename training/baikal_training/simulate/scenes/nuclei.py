"""Nuclei of cultured cells, for examples, tests and benchmarks.

A thick scene of deformed ellipsoids is painted, blurred and cropped to the volume asked for, so
that planes are cuts through one 3-D structure, and light from above, below and beside reaches
them. Lengths are in pixels of a plane; planes are PLANE_SPACING pixels apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from baikal_deploy.errors import ConfigError
from baikal_training.seeds import Stream, generator
from baikal_training.simulate.motion import Motion
from baikal_training.simulate.scenes.base import MIN_SIZE, Scene, Volume

Point = NDArray[np.float64]

PLANE_SPACING = 3.0
SPACING = np.array([PLANE_SPACING, 1.0, 1.0])
LENGTHS = (14.0, 24.0, 40.0)  # smallest, commonest and largest length of a nucleus
FILL = 0.15  # share of the scene inside nuclei
OVERLAP = 0.04  # a nucleus may lose this share of itself to its neighbours: they touch
BACKGROUND = 0.05
MARGIN = np.array([7, 20, 20])  # planes, rows, columns painted around the volume, then cut off
# (share of the light, sigma in planes, sigma in pixels): the focus, its skirt, and haze.
BLURS = ((0.72, 0.45, 0.75), (0.20, 2.0, 3.5), (0.08, 3.5, 18.0))


def simulate_nuclei(shape: tuple[int, int, int] = (12, 256, 256), seed: int = 0) -> Volume:
    """A clean volume of nuclei: background about BACKGROUND, the brightest voxel 1.

    Args:
        shape: (planes, height, width), 1 plane or more of at least MIN_SIZE x MIN_SIZE pixels.
        seed: 0 or more; the same seed gives the same volume.

    Raises:
        ConfigError: the shape or the seed is out of range.
    """
    if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < MIN_SIZE:
        raise ConfigError(f"simulation: shape is {shape}; give at least (1, {MIN_SIZE}, {MIN_SIZE})")
    (volume,) = _frames((1, *shape), seed)
    return np.asarray(volume / volume.max(), np.float32)


class Nuclei(Scene):
    label: ClassVar[str] = "nuclei"
    pixel_size: ClassVar[float] = 0.325
    plane_spacing: ClassVar[float] = PLANE_SPACING

    def frames(self, shape: tuple[int, int, int, int], seed: int) -> Iterator[Volume]:
        return _frames(shape, seed)

    def to_unit(self, light: Volume) -> Volume:
        """All frames (T, Z, Y, X) on the scale of simulate_nuclei: the brightest voxel is 1."""
        return np.asarray(light / light.max(), np.float32)


def _frames(shape: tuple[int, int, int, int], seed: int) -> Iterator[Volume]:
    """The volume, and then the same under a common flow in the plane."""
    rng = generator(Stream.SCENE, seed)
    scene = _scene(rng, shape[1:], seed)
    light = sum(share * gaussian_filter(scene, (z, xy, xy)) for share, z, xy in BLURS)
    background = _background(rng, shape[1:])
    light = np.asarray(light)[MARGIN[0] : -MARGIN[0]]
    inside = (slice(None), *(slice(m, -m) for m in MARGIN[1:]))
    peak = np.max(light[inside])
    motion, rest = Motion.random(generator(Stream.LAYOUT, seed), 2), np.indices(light.shape[1:])
    for time in range(shape[0]):
        moved = light
        if time:
            place = rest - motion.displacement(rest, time) + motion.displacement(rest, 0)
            moved = np.stack([map_coordinates(plane, place, order=3, mode="nearest") for plane in light])
        yield (1 - BACKGROUND) * np.maximum(moved[inside], 0) / peak + background


def _scene(rng: Generator, shape: tuple[int, int, int], seed: int) -> Volume:
    """Stain per voxel of the volume and its margin; 0 outside nuclei."""
    scene = np.zeros(shape + 2 * MARGIN, np.float32)
    textures = _band(rng, scene.shape, 1.0), _band(rng, scene.shape, 2.2)
    centre = rng.uniform(MARGIN, MARGIN + shape)  # inside the volume, so that none is empty
    centres: list[Point] = []
    filled = index = 0
    while filled < FILL * scene.size:
        painted = _paint(scene, textures, centre, generator(Stream.NUCLEUS, seed, index))
        if painted:
            centres.append(centre)
        filled, index = filled + painted, index + 1
        centre = rng.uniform(0, scene.shape)
        if rng.random() < 0.5:  # cells come in groups
            near = centres[rng.integers(len(centres))] + rng.normal(0, LENGTHS[1] / SPACING)
            centre = np.clip(near, 0, np.array(scene.shape) - 1)
    return scene


def _paint(scene: Volume, textures: tuple[Volume, Volume], centre: Point, rng: Generator) -> int:
    """Add one nucleus in its bounding box, unless it would overlap others; the voxels it took."""
    radii = rng.triangular(*LENGTHS) / 2 * np.array([rng.uniform(0.55, 0.85), rng.uniform(0.5, 0.95), 1.0])
    box = _box(scene.shape, centre, 1.35 * radii[2])
    point = _unit_frame(rng, box, centre, radii)
    depth = (1 - _radius(rng, point)) * radii.min()  # pixels below the surface, about
    coverage = np.clip(depth + 0.5, 0, 1)
    free = (coverage > 0) & (scene[box] == 0)
    if free.sum() < (1 - OVERLAP) * np.count_nonzero(coverage):
        return 0
    stain = _chromatin(rng, point, depth, textures[0][box], textures[1][box])
    brightness = np.clip(rng.lognormal(-0.5, 0.45), 0.2, 1)
    # tanh: the stain saturates, so that one bright spot does not set the range of the volume.
    scene[box] += free * coverage * np.tanh(brightness * stain / 1.4)
    return int(free.sum())


def _box(shape: tuple[int, ...], centre: Point, reach: float) -> tuple[slice, ...]:
    """The voxels within `reach` pixels of a centre."""
    start = np.maximum(0, np.floor(centre - reach / SPACING)).astype(int)
    stop = np.minimum(shape, np.ceil(centre + reach / SPACING) + 1).astype(int)
    return tuple(map(slice, start, stop))


def _unit_frame(rng: Generator, box: tuple[slice, ...], centre: Point, radii: Point) -> Volume:
    """Coordinates (3, …) in which the nucleus is a unit ball: turned, tilted, bent like a bean."""
    turn = Rotation.from_euler("xy", [rng.uniform(0, np.pi), rng.normal(0, 0.35)]).as_matrix()
    offsets = (np.mgrid[box].T - centre) * SPACING  # (…, 3)
    point: Volume = (offsets @ turn / radii).T.astype(np.float32)
    point[1] += rng.normal(0, 0.25) * (point[2] ** 2 - 0.3)
    return point


def _radius(rng: Generator, point: Volume) -> Volume:
    """Distance from the centre over the distance of the surface, which undulates."""
    waves = rng.normal(0, 1.7, (5, 3)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, (5, 1, 1, 1)).astype(np.float32)
    swell = np.cos(np.tensordot(waves, point, 1) + phases).sum(0)
    return np.asarray(np.sqrt((point**2).sum(0)) / (1 + 0.05 * swell), np.float32)


def _chromatin(rng: Generator, point: Volume, depth: Volume, fine: Volume, coarse: Volume) -> Volume:
    """Stain, about 1: a mottled net, a brighter rim, bright chromocentres and dark nucleoli."""
    stain = np.exp(rng.uniform(0.12, 0.28) * fine + rng.uniform(0.08, 0.22) * coarse)
    stain *= 1 + rng.uniform(0, 0.35) * np.exp(-((depth - 1) ** 2) / 4)
    for _ in range(rng.poisson(1.5)):
        stain *= 1 + rng.uniform(0.3, 1.0) * _spot(rng, point, 0.12, 0.25)
    for _ in range(rng.integers(1, 5)):
        stain *= 1 - rng.uniform(0.3, 0.6) * _spot(rng, point, 0.18, 0.32)
    return stain


def _spot(rng: Generator, point: Volume, low: float, high: float) -> Volume:
    """A soft ball of height 1 at a random place inside, of a random radius from low to high."""
    place = rng.uniform(-0.5, 0.5, (3, 1, 1, 1)).astype(np.float32)
    distance2 = ((point - place) ** 2).sum(0) / np.float32(rng.uniform(low, high) ** 2)
    return np.asarray(np.exp(-(distance2**2)), np.float32)


def _band(rng: Generator, shape: tuple[int, ...], sigma: float) -> Volume:
    """Band-limited normal noise of unit variance; sigma in pixels."""
    white = rng.standard_normal(shape, np.float32)
    band = gaussian_filter(white, sigma / SPACING) - gaussian_filter(white, 2 * sigma / SPACING)
    return np.asarray(band / band.std(), np.float32)


def _background(rng: Generator, shape: tuple[int, int, int]) -> Point:
    """A slow wave across the field around BACKGROUND, the same in every plane: (height, width)."""
    rows, columns = np.linspace(0, 1, shape[1])[:, None], np.linspace(0, 1, shape[2])
    down, across, phase = rng.uniform(-np.pi, np.pi, 3)
    return np.asarray(BACKGROUND * (1 + 0.3 * np.cos(down * rows + across * columns + phase)))
