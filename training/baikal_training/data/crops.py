"""Random crops of clean volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from baikal_training.data.augmentation import Augmentation
from baikal_training.data.volumes import CleanVolume, Plane

BACKGROUND_STD = 0.1
"""Least contrast of a crop (its range is about 2): with less it counts as background alone."""
BACKGROUND_RETRIES = 3
SMALLEST_WINDOW = 16
VALIDATION_SEED = 0


class PlaneSampler:
    """A sampler of places in volumes: planes in proportion to their side, times their volume's weight."""

    def __init__(self, volumes: Sequence[CleanVolume]) -> None:
        self.volumes = volumes
        self.sizes = np.array([volume.size * volume.weight for volume in volumes])
        self.ends = np.cumsum(self.sizes)

    def plane(self, rng: Generator) -> tuple[CleanVolume, int]:
        """A volume, and the number of a plane in it."""
        at = rng.random() * self.ends[-1]
        index = min(int(np.searchsorted(self.ends, at, side="right")), len(self.ends) - 1)
        volume, left = self.volumes[index], (self.ends[index] - at) / self.sizes[index]
        planes = volume.planes.shape[0]
        return volume, min(int(left * planes), planes - 1)


def window(volume: CleanVolume, plane: int, side: int, rng: Generator) -> Plane:
    """A random square of a plane; smaller than ``side`` if the plane is."""
    sides = volume.planes.shape[1:]
    side = min(side, *sides)
    top, left = (int(rng.integers(length - side + 1)) for length in sides)
    return volume.read(plane, slice(top, top + side), slice(left, left + side))


class CropDataset(Dataset[Tensor]):
    """A data set of random augmented crops (1, size, size), without end.

    Item i depends on (seed, i) alone.

    Raises:
        VolumeError: pixels that cannot be read, or are not finite.
    """

    def __init__(
        self, volumes: Sequence[CleanVolume], size: int, seed: int, augmentation: Augmentation
    ) -> None:
        self.places = PlaneSampler(volumes)
        self.size, self.seed, self.augmentation = size, seed, augmentation

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng([self.seed, index])
        crop = self._draw(rng)
        crop = np.rot90(crop, int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(crop))[None]

    def _draw(self, rng: Generator) -> Plane:
        """A changed crop; one of background alone is drawn again, a few times at most."""
        for _ in range(BACKGROUND_RETRIES):
            scale = rng.random()
            volume, plane = self.places.plane(rng)
            augmentation = volume.augmentation or self.augmentation
            wanted = max(round(self.size / augmentation.magnification(scale)), SMALLEST_WINDOW)
            seen = window(volume, plane, wanted, rng)
            crop = _resized(_dithered(seen, volume.step, rng), self.size)
            if crop.std() > BACKGROUND_STD:
                break
        crop = augmentation.optics(crop, self.size / seen.shape[0], rng)
        return augmentation.equalise(augmentation.jitter(crop, rng), rng)


def validation_crops(volumes: Sequence[CleanVolume], size: int, count: int) -> Tensor:
    """The same crops (count, 1, size, size) each time, as they are.

    Only those of background alone are drawn again, and what is smaller than a crop is magnified.

    Raises:
        VolumeError: pixels that cannot be read, or are not finite.
    """
    places = PlaneSampler(volumes)
    crops = []
    for index in range(count):
        rng = np.random.default_rng([VALIDATION_SEED, index])
        for _ in range(BACKGROUND_RETRIES):
            crop = _resized(window(*places.plane(rng), size, rng), size)
            if crop.std() > BACKGROUND_STD:
                break
        crops.append(torch.from_numpy(crop)[None])
    return torch.stack(crops)


def _dithered(window: Plane, step: float, rng: Generator) -> Plane:
    """Fill the gaps between grey levels, which a network would otherwise learn to reproduce."""
    if not step:
        return window
    dither = rng.random(window.shape, dtype=np.float32)
    dither -= np.float32(0.5)
    dither *= np.float32(step)
    dither += window
    return dither


def _resized(window: Plane, size: int) -> Plane:
    if window.shape == (size, size):
        return window
    resized = F.interpolate(
        torch.from_numpy(window)[None, None],
        size=(size, size),
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    return np.asarray(resized[0, 0].numpy())
