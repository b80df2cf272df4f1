"""Clean planes on disk -> augmented training crops."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.intensity import Normalisation

SUFFIXES = (".tif", ".tiff", ".png")
GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "F")
BACKGROUND_STD = 0.1
"""A crop with less contrast than this (its range is about 2) counts as background alone."""
BACKGROUND_RETRIES = 3
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class CleanPlane:
    """One plane (H, W) on the network's scale, and ``step``, the size of one grey level there."""

    path: Path
    pixels: Plane
    step: float


def read_clean(folder: Path, normalisation: Normalisation) -> list[CleanPlane]:
    """Every plane of every TIFF and PNG below a folder; a file is normalised as one volume.

    Raises:
        VolumeError: no such folder, no images in it, or a file that is not a grey image.
    """
    if not folder.is_dir():
        raise VolumeError(f"{folder}: no such folder of clean images")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise VolumeError(f"{folder}: no TIFF or PNG images in it")
    planes = [plane for path in paths for plane in _normalised(path, normalisation)]
    if not planes:
        raise VolumeError(f"{folder}: every image is constant; there is nothing to learn from")
    return planes


def _normalised(path: Path, normalisation: Normalisation) -> list[CleanPlane]:
    stack = _read_stack(path)
    if not np.isfinite(stack).all():
        raise VolumeError(f"{path}: holds NaN or infinite pixels; clean images must not")
    intensity = normalisation.of(list(stack))
    if intensity.is_constant:
        return []
    step = 2 / (intensity.high - intensity.low) if stack.dtype.kind in "ui" else 0.0
    return [CleanPlane(path, intensity.normalise(plane), step) for plane in stack]


def _read_stack(path: Path) -> NDArray[np.generic]:
    """The planes of one file: (N, H, W)."""
    try:
        pixels, colour = _read_png(path) if path.suffix.lower() == ".png" else _read_tiff(path)
    except Exception as error:  # damaged files make both libraries raise almost anything
        raise VolumeError(f"{path}: cannot be read as an image ({error})") from error
    if colour:
        raise VolumeError(f"{path}: a colour image; convert it to grey first")
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim != 3 or pixels.dtype.kind not in "uif":
        raise VolumeError(
            f"{path}: {pixels.dtype} pixels of shape {pixels.shape}; needed is grey, (Y, X) or (Z, Y, X)"
        )
    return pixels


def _read_png(path: Path) -> tuple[NDArray[np.generic], bool]:
    """Pixels, and whether they are colours."""
    with Image.open(path) as image:
        return np.asarray(image), image.mode not in GREY_MODES


def _read_tiff(path: Path) -> tuple[NDArray[np.generic], bool]:
    """Pixels of the first series, and whether they are colours."""
    with tifffile.TiffFile(path) as file:
        return file.series[0].asarray(), "S" in file.series[0].axes


def split(planes: Sequence[CleanPlane], fraction: float = 0.1) -> tuple[list[CleanPlane], list[CleanPlane]]:
    """Training and validation planes, by file: all planes of a file go to one side.

    The side follows from a hash of the file's name, so it does not change when files are added;
    among few files, the one with the smallest hash is the validation.

    Raises:
        ConfigError: no two files, or all of one name.
    """
    shares = [_share(plane.path) for plane in planes]
    limit = max(fraction, min(shares))
    training = [plane for plane, share in zip(planes, shares, strict=True) if share > limit]
    if not training:
        raise ConfigError("too few clean files to split: one to train and one to validate are needed")
    return training, [plane for plane, share in zip(planes, shares, strict=True) if share <= limit]


def _share(path: Path) -> float:
    """A number within 0 … 1 that is fixed by the file's name."""
    return int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4], "big") / 2**32


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
    """

    zoom: tuple[float, float] = (0.5, 3.0)
    gamma: tuple[float, float] = (0.7, 1.5)
    contrast: tuple[float, float] = (0.5, 1.3)
    bright: float = 0.15
    offset: float = 0.05


class CropDataset(Dataset[Tensor]):
    """Item i is a random augmented crop (1, size, size) that depends on (seed, i) alone."""

    def __init__(
        self, planes: Sequence[CleanPlane], size: int, length: int, seed: int, augmentation: Augmentation
    ) -> None:
        self.planes, self.size, self.length = planes, size, length
        self.seed, self.augmentation = seed, augmentation
        # Large images hold more to learn than small ones: draw them in proportion to their side.
        sides = np.sqrt([plane.pixels.size for plane in planes])
        self.weights = sides / sides.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        rng = np.random.default_rng([self.seed, index])
        crop = np.rot90(self._draw(rng), int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(self._jitter(crop, rng)))[None]

    def _draw(self, rng: np.random.Generator) -> Plane:
        """A zoomed crop; one of background alone is drawn again, a few times at most."""
        for _ in range(BACKGROUND_RETRIES):
            plane = self.planes[rng.choice(len(self.planes), p=self.weights)]
            crop = _zoomed_crop(plane, self.size, _log_uniform(rng, self.augmentation.zoom), rng)
            if crop.std() > BACKGROUND_STD:
                break
        return crop

    def _jitter(self, crop: Plane, rng: np.random.Generator) -> Plane:
        settings = self.augmentation
        unit = (crop + 1) / 2
        gamma = _log_uniform(rng, settings.gamma)
        unit = np.where(unit > 0, np.abs(unit) ** gamma, unit)
        low, high = (1.0, 3.0) if rng.random() < settings.bright else settings.contrast
        unit = unit * rng.uniform(low, high) + rng.uniform(-settings.offset, settings.offset)
        return (2 * unit - 1).astype(np.float32)


def _zoomed_crop(plane: CleanPlane, size: int, zoom: float, rng: np.random.Generator) -> Plane:
    """A random square of the plane, dithered against its grey levels, resampled to (size, size)."""
    side = min(max(round(size / zoom), 16), *plane.pixels.shape)
    top, left = (int(rng.integers(length - side + 1)) for length in plane.pixels.shape)
    crop = plane.pixels[top : top + side, left : left + side]
    crop = crop + rng.uniform(-plane.step / 2, plane.step / 2, crop.shape).astype(np.float32)
    resized = F.interpolate(
        torch.from_numpy(crop)[None, None],
        size=(size, size),
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    return np.asarray(resized[0, 0].numpy())


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))
