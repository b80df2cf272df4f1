"""One nucleus: its shape, its stain, and how it is painted into a volume; lengths in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from baikal_training.simulate.waves import WaveField

Volume = NDArray[np.float32]
Point = NDArray[np.float64]
Box = tuple[slice, ...]
EDGE = 1.2
"""Width over which the stain fades at the surface."""


@dataclass(frozen=True)
class Style:
    """Appearance of the nuclei of a tissue; pairs are the ends of a uniform distribution.

    Attributes:
        flatness: shortest over longest half axis.
        slimness: middle over longest half axis.
        grain: contrast (log) of the chromatin.
        grain_size: wavelength of the chromatin in radii.
        rim: added brightness near the surface.
        nucleoli: most dark spots per nucleus.
        chromocentres: mean number of bright spots per nucleus.
        spread: standard deviation of the log brightness.
        mitotic: share of nuclei that divide: bright, compact plates, single or in pairs.
        largest: radius of a nucleus that has room enough.
        size_spread: standard deviation of the log radius.
    """

    flatness: tuple[float, float]
    slimness: tuple[float, float]
    grain: tuple[float, float]
    grain_size: float
    rim: tuple[float, float]
    nucleoli: int
    chromocentres: float
    spread: float
    mitotic: float
    largest: float
    size_spread: float


@dataclass(frozen=True)
class Nucleus:
    """A deformed ellipsoid. In body coordinates it is about the unit ball.

    Attributes:
        radii: half axes (3,); the last is the longest.
        turn: rotation (3, 3) from (z, y, x) to the body's axes.
        swell: undulation of the surface, in body coordinates.
        grain: the chromatin, in body coordinates.
        contrast: of the chromatin.
        rim: added brightness near the surface.
        spots: (n, 5): place in body coordinates, radius, and gain of each.
        brightness: of the stain.
        split: how far the plates of a dividing nucleus have parted; negative before they part;
            None for other nuclei.
    """

    radii: Point
    turn: Point
    swell: WaveField
    grain: WaveField
    contrast: float
    rim: float
    spots: Point
    brightness: float
    split: float | None

    @property
    def reach(self) -> float:
        """Largest distance of stain from the centre."""
        return float(1.25 * self.radii.max() * (1 + (self.split or 0.0)))

    @classmethod
    def random(cls, rng: Generator, style: Style, radius: float) -> Nucleus:
        """A nucleus whose volume is about that of a ball of `radius`."""
        axes = np.array([rng.uniform(*style.flatness), rng.uniform(*style.slimness), 1.0])
        turn = Rotation.from_euler("xyz", [rng.uniform(0, np.pi), *rng.normal(0, 0.4, 2)]).as_matrix()
        dividing = rng.random() < style.mitotic
        axes = np.array([0.8, 0.38, 1.0]) if dividing else axes
        size = radius * (0.9 if dividing else 1 / np.cbrt(axes.prod()))
        bright = 1.8 * np.tanh(np.exp(rng.normal(0, style.spread)) * (2.2 if dividing else 1) / 1.8)
        return cls(
            radii=size * axes,
            turn=turn,
            swell=WaveField.random(rng, 2.6, 3, 8),
            grain=WaveField.random(rng, style.grain_size, 3, 14),
            contrast=rng.uniform(*style.grain),
            rim=rng.uniform(*style.rim),
            spots=np.zeros((0, 5)) if dividing else _spots(rng, style),
            brightness=float(bright),
            split=rng.uniform(-2.0, 1.6) if dividing else None,
        )

    def paint(self, scene: Volume, centre: Point, spacing: Point, walls: Point, fine: bool) -> None:
        """Add the nucleus to a volume (Z, Y, X).

        Args:
            scene: the volume, which is changed.
            centre: (3,), in pixels from the first voxel.
            spacing: size of a voxel (3,).
            walls: (n, 4): unit normals to the neighbours, and the distance of the wall between.
            fine: with chromatin; without for what is seen only as haze.
        """
        box = _box(scene.shape, centre / spacing, self.reach / spacing)
        if min((s.stop - s.start for s in box), default=0) <= 0:
            return
        offsets = _offsets(box, centre, spacing)
        to_body = self.turn.astype(np.float32) / self.radii[:, None].astype(np.float32)
        body = np.asarray(np.tensordot(to_body, offsets, 1), np.float32)
        if self.split is not None:
            body[1] = np.abs(body[1]) - max(self.split, 0.0) / self.radii[1] * self.radii[2] * 0.5
        depth = self._depth(body)
        if len(walls) and self.split is None:
            depth = np.minimum(depth, _clearance(walls.astype(np.float32), offsets))
        stain = np.clip(depth / EDGE + 0.5, 0, 1)
        stain *= self._stain(body, depth) if fine else np.float32(self.brightness)
        np.maximum(scene[box], stain, out=scene[box])

    def _depth(self, body: Volume) -> Volume:
        """Distance below the surface, about."""
        radius = np.sqrt((body**2).sum(0)) / (1 + np.float32(0.055) * self.swell(body))
        return np.asarray((1 - radius) * np.float32(self.radii.min()))

    def _stain(self, body: Volume, depth: Volume) -> Volume:
        stain = np.exp(np.float32(self.contrast) * self.grain(body))
        stain *= 1 + np.float32(self.rim) * np.exp(-((depth - 1) ** 2) / 4)
        for *place, radius, gain in self.spots.astype(np.float32):
            distance2 = ((body - np.reshape(place, (3, 1, 1, 1))) ** 2).sum(0) / radius**2
            stain *= 1 + gain * np.exp(-(distance2**2))
        # tanh: the stain saturates, so that one bright spot does not set the range of the volume.
        return np.asarray(np.tanh(np.float32(self.brightness) * stain / 3) * 3)


def _clearance(walls: Volume, offsets: Volume) -> Volume:
    """Distance to the nearest of the walls (n, 4), at offsets (3, Z, Y, X) from the centre."""
    gaps: Volume = walls[:, 3, None, None, None] - np.tensordot(walls[:, :3], offsets, 1)
    return np.asarray(gaps.min(0))


def _spots(rng: Generator, style: Style) -> Point:
    bright = rng.poisson(style.chromocentres)
    count = bright + rng.integers(0, style.nucleoli + 1)
    places = rng.uniform(-0.55, 0.55, (count, 3))
    radii = np.where(np.arange(count) < bright, rng.uniform(0.12, 0.25, count), rng.uniform(0.2, 0.36, count))
    gains = np.where(np.arange(count) < bright, rng.uniform(0.3, 1.1, count), -rng.uniform(0.35, 0.75, count))
    return np.column_stack([places, radii, gains])


def _box(shape: tuple[int, ...], centre: Point, reach: Point) -> Box:
    start = np.maximum(0, np.floor(centre - reach)).astype(int)
    stop = np.minimum(shape, np.ceil(centre + reach) + 1).astype(int)
    return tuple(map(slice, start, stop))


def _offsets(box: Box, centre: Point, spacing: Point) -> Volume:
    """Pixels from the centre (3, Z, Y, X)."""
    axes = [
        (np.arange(s.start, s.stop) * step - c).astype(np.float32)
        for s, step, c in zip(box, spacing, centre, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"))
