"""Random crops of clean volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from baikal_deploy.measurement.surroundings import base
from baikal_training.data.volumes import CleanVolume, Plane

BACKGROUND_STD = 0.1
"""Least contrast of a crop (its range is about 2): with less it counts as background alone."""
BACKGROUND_RETRIES = 3
OTHER_LEVEL = (1 / 3, 2.0)
"""Variance of the noise of a plane over that of a crop in it."""
LEAST_SPREAD = 0.6
"""Darker places are not lifted further: clean images have some noise there, which is not to be learnt."""
SMALLEST_WINDOW = 16
VALIDATION_SEED = 0


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a crop. Scales are on intensities in [0, 1], where 1 is the upper percentile.

    Attributes:
        zoom: range of the magnification (log-uniform).
        gamma: range of the exponent on intensities (log-uniform).
        contrast: range of the factor on intensities.
        bright: share of crops that are brightened up to 3 times instead, so that the network has
            seen intensities far above the upper percentile.
        offset: largest shift of the background.
        equalised: share of crops that are shown as the runtime shows planes whose noise depends on the
            signal: with the contrast to their surroundings scaled (``Equaliser``).
        dark: range of what the noise has without signal, as the signal that would give as much variance
            (log-uniform).
    """

    zoom: tuple[float, float] = (0.5, 3.0)
    gamma: tuple[float, float] = (0.7, 1.5)
    contrast: tuple[float, float] = (0.5, 1.3)
    bright: float = 0.15
    offset: float = 0.05
    equalised: float = 0.5
    dark: tuple[float, float] = (0.03, 1.0)

    def jitter(self, crop: Plane, rng: Generator) -> Plane:
        """Change the intensities of a crop on the network's scale."""
        unit = (crop + np.float32(1)) / np.float32(2)
        gamma = np.float32(_log_uniform(rng, self.gamma))
        unit = np.power(np.maximum(unit, 0), gamma) + np.minimum(unit, 0)
        low, high = (1.0, 3.0) if rng.random() < self.bright else self.contrast
        factor, offset = rng.uniform(low, high), rng.uniform(-self.offset, self.offset)
        unit *= np.float32(2 * factor)
        unit += np.float32(2 * offset - 1)
        return unit

    def equalise(self, crop: Plane, rng: Generator) -> Plane:
        """A crop on the network's scale as it is where the noise was made the same everywhere."""
        if rng.random() >= self.equalised:
            return crop
        surroundings = base(crop)
        variance = np.maximum((surroundings + 1) / 2, 0) + np.float32(_log_uniform(rng, self.dark))
        # The level is the plane's, which may be darker or brighter than the crop.
        level = np.exp(np.log(variance).mean()) * _log_uniform(rng, OTHER_LEVEL)
        spread = np.maximum(np.sqrt(variance / np.float32(level)), np.float32(LEAST_SPREAD))
        return surroundings + (crop - surroundings) / spread


AUGMENTATIONS = {
    "wide": Augmentation(),
    "narrow": Augmentation(zoom=(1.0, 1.0), gamma=(1.0, 1.0), contrast=(1.0, 1.0), bright=0.0),
}
"""Augmentations by name: for other microscopes and magnifications than the clean images', and for the same
alone.
"""


class PlaneSampler:
    """A sampler of places in volumes: planes in proportion to their side, times their volume's weight.

    Large planes hold more to learn than small ones, but not as much more as they have pixels.
    """

    def __init__(self, volumes: Sequence[CleanVolume]) -> None:
        self.volumes = volumes
        shapes = np.array([volume.planes.shape for volume in volumes], dtype=np.float64)
        self.sides = np.sqrt(shapes[:, 1] * shapes[:, 2])
        weights = np.array([volume.weight for volume in volumes])
        self.ends = np.cumsum(shapes[:, 0] * self.sides * weights)

    def plane(self, rng: Generator) -> tuple[CleanVolume, int]:
        """A volume, and the number of a plane in it."""
        at = rng.random() * self.ends[-1]
        index = min(int(np.searchsorted(self.ends, at, side="right")), len(self.ends) - 1)
        volume, left = self.volumes[index], self.ends[index] - at
        plane = int(left / (self.sides[index] * volume.weight))
        return volume, min(plane, volume.planes.shape[0] - 1)

    def window(self, side: int, rng: Generator) -> tuple[Plane, CleanVolume]:
        """A random square; smaller than ``side`` if the plane is."""
        volume, plane = self.plane(rng)
        sides = volume.planes.shape[1:]
        side = min(side, *sides)
        top, left = (int(rng.integers(length - side + 1)) for length in sides)
        return volume.read(plane, slice(top, top + side), slice(left, left + side)), volume


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
        crop = self.augmentation.jitter(self._draw(rng), rng)
        crop = self.augmentation.equalise(crop, rng)
        crop = np.rot90(crop, int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(crop))[None]

    def _draw(self, rng: Generator) -> Plane:
        """A zoomed crop; one of background alone is drawn again, a few times at most."""
        for _ in range(BACKGROUND_RETRIES):
            zoom = _log_uniform(rng, self.augmentation.zoom)
            window, volume = self.places.window(max(round(self.size / zoom), SMALLEST_WINDOW), rng)
            crop = _resized(_dithered(window, volume.step, rng), self.size)
            if crop.std() > BACKGROUND_STD:
                break
        return crop


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
            crop = _resized(places.window(size, rng)[0], size)
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


def _log_uniform(rng: Generator, bounds: tuple[float, float]) -> float:
    low, high = np.log(bounds)
    return float(np.exp(rng.uniform(low, high)))
