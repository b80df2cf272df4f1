"""Clean images for tests of training: soft random blobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.intensity import IntensityMap
from baikal_training.data import CleanVolume
from baikal_training.data.volumes import InMemory


def soft_plane(seed: int, side: int = 64) -> NDArray[np.uint8]:
    soft = gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 3)
    return (255 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)


def write_clean(folder: Path, count: int = 6) -> Path:
    """A folder of PNG files."""
    folder.mkdir()
    for seed in range(count):
        Image.fromarray(soft_plane(seed)).save(folder / f"{seed}.png")
    return folder


def clean_volumes(count: int = 3) -> list[CleanVolume]:
    """Volumes of one plane, without files."""
    planes = [InMemory(f"{seed}.png", soft_plane(seed)[None]) for seed in range(count)]
    return [CleanVolume(p.name, p, IntensityMap(0, 255), f"{i:064x}") for i, p in enumerate(planes)]
