"""Data sets of simulated images: pairs of a clean and a noisy file each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from baikal_deploy._version import __version__
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.volumes.paths import translated
from baikal_training.camera import PSNR_RANGE, Camera
from baikal_training.seeds import Stream, generator
from baikal_training.simulate import check_shape, load_scene, simulate
from baikal_training.simulate.files import SUFFIXES, Format, Image, check_target, write

Kind = Literal["clean", "noisy"]


@dataclass(frozen=True)
class PairSet:
    """A data set that is still to be made. Checked when made.

    Attributes:
        morphology: one of ``simulate.morphologies()``.
        shape: of every image (T, Z, Y, X).
        count: number of images. Image i depends on `seed` and i, not on `count`.
        psnr: of the noisy images, in dB; see Camera.at_psnr.
        correlated: share of the noise variance that is correlated along rows.
        seed: 0 or more.
        clean_only: without the noisy images.

    Raises:
        ConfigError: an unknown morphology; a number is out of range.
    """

    morphology: str
    shape: tuple[int, int, int, int]
    count: int = 1
    psnr: float = 15.0
    correlated: float = 0.0
    seed: int = 0
    clean_only: bool = False

    def __post_init__(self) -> None:
        load_scene(self.morphology)
        check_shape(self.shape)
        generator(Stream.VOLUME, self.seed)
        if self.count < 1:
            raise ConfigError(f"simulation: count is {self.count}; it must be 1 or more")
        if not PSNR_RANGE[0] <= self.psnr <= PSNR_RANGE[1]:
            low, high = PSNR_RANGE
            raise ConfigError(f"simulation: psnr is {self.psnr}; it must be {low:g} to {high:g} dB")
        if not 0 <= self.correlated <= 1:
            raise ConfigError(f"simulation: correlated is {self.correlated}; it must be 0 to 1")

    def name(self, index: int) -> str:
        """Name of an image, without the suffix."""
        return f"{self.morphology}-{self.seed}-{index:04d}"

    def image_seed(self, index: int) -> int:
        """The seed of an image's scene and noise."""
        return int(generator(Stream.VOLUME, self.seed, index).integers(2**32))

    def targets(self, folder: Path, file_format: Format) -> list[dict[Kind, Path]]:
        """The files of every image."""
        kinds: tuple[Kind, ...] = ("clean",) if self.clean_only else ("clean", "noisy")
        return [
            {kind: folder / kind / (self.name(index) + SUFFIXES[file_format]) for kind in kinds}
            for index in range(self.count)
        ]

    def write(self, folder: Path, file_format: Format, *, overwrite: bool = False) -> Iterator[Path]:
        """Write all files, and yield each when it is complete.

        Raises:
            VolumeError: a file exists and must not be overwritten (found before anything is
                computed), or cannot be written.
        """
        targets = self.targets(folder, file_format)
        for path in (path for pair in targets for path in pair.values()):
            _prepare_folder(path.parent)
            check_target(path, file_format, overwrite)
        for index, pair in enumerate(targets):
            for kind, image in self._images(index).items():
                write(pair[kind], image, file_format)
                yield pair[kind]

    def _images(self, index: int) -> dict[Kind, Image]:
        seed, scene = self.image_seed(index), load_scene(self.morphology)
        clean = simulate(self.morphology, self.shape, seed)
        camera = Camera.at_psnr(clean, self.psnr, self.correlated)
        counts: dict[Kind, np.ndarray[Any, np.dtype[np.uint16]]] = {"clean": camera.expected(clean)}
        if not self.clean_only:
            counts["noisy"] = camera.expose(clean, seed)
        provenance = self._provenance(index, camera)
        return {
            kind: Image(pixels, scene, self.name(index), {**provenance, "kind": kind})
            for kind, pixels in counts.items()
        }

    def _provenance(self, index: int, camera: Camera) -> dict[str, Any]:
        """Record of how an image was made; anything JSON can hold."""
        settings = {key: value for key, value in asdict(camera).items() if np.isfinite(value)}
        return {
            "software": f"baikal-simulate {__version__}",
            "morphology": self.morphology,
            "seed": self.seed,
            "index": index,
            "image_seed": self.image_seed(index),
            "psnr": self.psnr,
            "camera": settings,
        }


def _prepare_folder(folder: Path) -> None:
    with translated(folder, "made"):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise VolumeError(f"{folder}: is not writable; choose another folder, or correct its permissions")
