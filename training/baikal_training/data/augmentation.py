"""Random changes of crops: other magnifications, contrasts and optics than the clean images'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from baikal_deploy.pixels.arrays import Plane

AIRY_RINGS = 0.162
"""Share of the light of an Airy disc outside its first dark ring (Born and Wolf, Optics, 8.5)."""
RINGS_WIDTH = 3.0
"""Width of the Gaussian that stands for the rings, in widths of the one that stands for the disc."""
WIDEST_DISC = 2.0
"""Largest width of a disc in pixels of the crop: microscopes that sample more finely are rare."""
HAZE_WIDTH = (10.0, 40.0)
"""Range of the width of light from out of focus: its standard deviation in pixels of the crop."""
COARSE = 8
"""Side in pixels of the squares that such light is computed on."""
DIMMEST_HAZE = 0.1
"""Brightness below which it is not brought up further: a dark crop would give a picture of its noise."""


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
        blurred: share of crops that are seen through optics of a lower aperture.
        blur: range of the standard deviation of their disc, in pixels of the clean image (log-uniform).
        hazy: share of crops with light from out of focus.
        haze: range of its brightest place (log-uniform).
        sparse: share of crops like those of sparse samples, whose upper percentile lies in what is dim: what
            is bright becomes brighter, and the dim rest stays.
        peak: range of the brightness that the upper percentile then has (log-uniform).
        equalised: share of crops that are shown as the runtime shows planes whose noise depends on the
            signal: on the scale on which it is the same everywhere (``Equaliser``).
        dark: range of what the noise has without signal, as the signal that would give as much variance
            (log-uniform).
    """

    zoom: tuple[float, float] = (0.5, 3.0)
    gamma: tuple[float, float] = (0.7, 1.5)
    contrast: tuple[float, float] = (0.5, 1.3)
    bright: float = 0.15
    offset: float = 0.05
    blurred: float = 0.0
    blur: tuple[float, float] = (0.4, 2.0)
    hazy: float = 0.0
    haze: tuple[float, float] = (0.05, 0.5)
    sparse: float = 0.0
    peak: tuple[float, float] = (3.0, 6.0)
    equalised: float = 0.0
    dark: tuple[float, float] = (0.03, 1.0)

    def magnification(self, place: float) -> float:
        """The magnification at a place, 0 to 1, in its range."""
        low, high = np.log(self.zoom)
        return float(np.exp(low + place * (high - low)))

    def optics(self, crop: Plane, magnification: float, rng: Generator) -> Plane:
        """A crop on the network's scale as other optics show it.

        Args:
            magnification: of the crop, in its pixels for each of the clean image: a disc grows with it.
        """
        if self.blurred and rng.random() < self.blurred:
            disc = min(log_uniform(rng, self.blur) * magnification, WIDEST_DISC)
            crop = airy_blur(crop, disc)
        if self.hazy and rng.random() < self.hazy:
            crop = _with_haze(crop, log_uniform(rng, self.haze), rng)
        return crop

    def jitter(self, crop: Plane, rng: Generator) -> Plane:
        """Change the intensities of a crop on the network's scale."""
        unit = (crop + np.float32(1)) / np.float32(2)
        gamma = np.float32(log_uniform(rng, self.gamma))
        unit = np.power(np.maximum(unit, 0), gamma) + np.minimum(unit, 0)
        kind, low, high = rng.random(), *self.contrast
        if kind < self.bright:
            low, high = 1.0, 3.0
        elif kind < self.bright + self.sparse:
            low = high = 1.0
            unit *= 1 + np.float32(log_uniform(rng, self.peak) - 1) * np.clip(unit, 0, 1) ** 2
        factor, offset = rng.uniform(low, high), rng.uniform(-self.offset, self.offset)
        unit *= np.float32(2 * factor)
        unit += np.float32(2 * offset - 1)
        return unit

    def equalise(self, crop: Plane, rng: Generator) -> Plane:
        """A crop on the network's scale as it is where its noise was made the same everywhere."""
        if not self.equalised or rng.random() >= self.equalised:
            return crop
        return equalised(crop, log_uniform(rng, self.dark))


AUGMENTATIONS = {
    "wide": Augmentation(),
    "optics": Augmentation(blurred=0.3, hazy=0.25, sparse=0.05, equalised=0.5),
    "narrow": Augmentation(zoom=(1.0, 1.0), gamma=(1.0, 1.0), contrast=(1.0, 1.0), bright=0.0),
}
"""Augmentations by name: for other microscopes and magnifications than the clean images', with blur, haze
and sparse samples added to that, and for the same microscope alone.
"""


def equalised(crop: Plane, dark: float) -> Plane:
    """A crop on the network's scale as the runtime's ``Equaliser`` shows it, on that scale again.

    Args:
        dark: what the noise has without signal, as the signal that would give as much variance; the upper
            percentile's is 1. Below no signal the variance does not fall further.
    """
    unit = (crop + np.float32(1)) / np.float32(2)
    root = np.sqrt(np.maximum(unit, 0) + np.float32(dark))
    root += np.minimum(unit, 0) / np.float32(2 * np.sqrt(dark))
    least, most = np.sqrt(dark), np.sqrt(1 + dark)
    return np.asarray((root - np.float32(least)) * np.float32(2 / (most - least)) - 1)


def airy_blur(crop: Plane, sigma: float) -> Plane:
    """A crop through a lens: its disc and rings, each a Gaussian.

    Args:
        sigma: standard deviation of the disc in pixels of the crop; that of a lens is 0.21 wavelengths over
            its numerical aperture (Zhang, Zerubia and Olivo-Marin, Applied Optics 46, 2007).
    """
    disc, rings = gaussian_filter(crop, sigma), gaussian_filter(crop, RINGS_WIDTH * sigma, truncate=2.5)
    return np.asarray(np.float32(1 - AIRY_RINGS) * disc + np.float32(AIRY_RINGS) * rings)


def _with_haze(crop: Plane, strength: float, rng: Generator) -> Plane:
    """A crop with the light of other depths: what they show is alike, elsewhere, and out of focus.

    Args:
        strength: of the brightest place of that light; both together are brought back to the same range.
    """
    unit = torch.from_numpy((crop + np.float32(1)) / np.float32(2))[None, None].clamp(min=0)
    small = F.interpolate(unit, size=max(crop.shape[0] // COARSE, 1), mode="area")[0, 0].numpy()
    elsewhere = np.roll(small, rng.integers(small.shape[0], size=2), axis=(0, 1))
    light = gaussian_filter(elsewhere, log_uniform(rng, HAZE_WIDTH) / COARSE, mode="wrap")
    light *= np.float32(strength) / max(light.max(), DIMMEST_HAZE)
    large = F.interpolate(
        torch.from_numpy(light)[None, None], size=crop.shape, mode="bicubic", align_corners=False
    )
    return np.asarray((crop + 2 * large[0, 0].numpy() - np.float32(strength)) / np.float32(1 + strength))


def log_uniform(rng: Generator, bounds: tuple[float, float]) -> float:
    """A number between bounds, its logarithm uniform."""
    low, high = np.log(bounds)
    return float(np.exp(rng.uniform(low, high)))
