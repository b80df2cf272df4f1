"""The way from stain to light: point spread function, haze, absorption, uneven background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom

from baikal_training.simulate.waves import WaveField

Volume = NDArray[np.float32]
Blur = tuple[float, float, float]
COARSE = 4
"""Factor by which the pixels are larger that haze is computed on."""


@dataclass(frozen=True)
class Optics:
    """A point spread function of three Gaussians, each (share, sigma in planes, sigma in pixels).

    Attributes:
        core: in focus.
        skirt: around it; its share grows with the depth in the tissue, at the core's expense.
        haze: light from far out of focus.
        fading: depth in pixels at which light has fallen to 1/e.
        background: level, where the brightest stain is about 1.
    """

    core: Blur
    skirt: Blur
    haze: Blur
    fading: float
    background: float

    def image(self, stain: Volume, depth: Volume, shown: slice = slice(None)) -> Volume:
        """Light of a stained volume.

        Args:
            stain: (Z, Y, X).
            depth: of the tissue above each voxel, in pixels; broadcasts against `stain`.
            shown: planes whose light is wanted; fewer take less time.
        """
        through = np.exp(-np.maximum(depth, 0) / np.float32(self.fading))
        lit = stain * through
        (core, *focus), (skirt, *wide), _ = self.core, self.skirt, self.haze
        seen = through[shown] if len(through) == len(lit) else through
        scattered = np.float32(0.35 * core) * (1 - seen)
        light = (core - scattered) * _blurred(lit, focus, shown)
        light += (skirt + scattered) * _blurred(lit, wide, shown)
        return np.asarray(light + self._haze(lit, shown))

    def _haze(self, lit: Volume, shown: slice) -> Volume:
        share, planes, pixels = self.haze
        height, width = lit.shape[1:]
        padded = np.pad(lit, ((0, 0), (0, -height % COARSE), (0, -width % COARSE)), mode="edge")
        blocks = padded.reshape(len(lit), padded.shape[1] // COARSE, COARSE, -1, COARSE).mean((2, 4))
        blurred = _blurred(blocks, (planes, pixels / COARSE), shown)
        large = zoom(blurred, (1, COARSE, COARSE), order=1, grid_mode=True, mode="nearest")
        return np.asarray(share * large[:, :height, :width], np.float32)


def _blurred(lit: Volume, blur: tuple[float, ...] | list[float], shown: slice) -> Volume:
    """Some planes (Z, Y, X) of a volume that is blurred across planes, then within them."""
    planes, pixels = blur
    across = gaussian_filter1d(lit, planes, axis=0)[shown]
    return np.asarray(gaussian_filter(across, (0, pixels, pixels)))


def uneven(rng: Generator, plane: tuple[int, int], depth: float) -> Volume:
    """A slow factor across the field (H, W), about 1, of relative amplitude `depth`."""
    grid = np.stack(np.meshgrid(*map(np.arange, plane), indexing="ij"))
    field = WaveField.random(rng, 1.5 * max(plane), 2, 5)(grid)
    return np.asarray(np.exp(np.float32(depth) * np.clip(field, -2, 2)), np.float32)


def voxel_grid(shape: tuple[int, ...], spacing: NDArray[np.float64]) -> Volume:
    """Coordinates (dimensions, *shape) of every voxel, in pixels."""
    axes = [np.arange(n, dtype=np.float32) * np.float32(s) for n, s in zip(shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))
