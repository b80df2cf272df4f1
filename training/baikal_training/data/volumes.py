"""Clean volumes, on disk and in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_training.data.augmentation import Augmentation
from baikal_training.data.readers import Planes

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class CleanVolume:
    """One channel of an image, and its map to the network's scale.

    Attributes:
        name: the file as it was given, and what identifies the image inside it.
        planes: its pixels, read when they are needed.
        intensity: one map for all planes.
        fingerprint: SHA-256 of shape, dtype and a sample of the pixels; the same in any file format.
        weight: how often its planes are drawn, against others of their size.
        augmentation: in place of the training's; None for that.
        source: name of the source in its corpus; "" without one.
        group: what has the same stays together in the split; "" for what stands alone.
    """

    name: str
    planes: Planes
    intensity: IntensityMap
    fingerprint: str
    weight: float = 1.0
    augmentation: Augmentation | None = None
    source: str = ""
    group: str = ""

    @property
    def size(self) -> float:
        """What it counts for when planes are drawn: their number times their side.

        Large planes hold more to learn than small ones, but not as much more as they have pixels.
        """
        planes, height, width = self.planes.shape
        return float(planes * np.sqrt(height * width))

    @property
    def step(self) -> float:
        """Size of one grey level on the network's scale; 0 for real pixels."""
        return self.intensity.normalised_sigma(1) if self.planes.dtype.kind in "ui" else 0.0

    def read(self, plane: int, rows: slice, columns: slice) -> Plane:
        """A window (h, w) on the network's scale.

        Raises:
            VolumeError: pixels that cannot be decoded, or are not finite.
        """
        raw = self.planes.read(plane, rows, columns)
        if raw.dtype.kind == "f" and not np.isfinite(raw).all():
            raise VolumeError(
                f"{self.name}, plane {plane}: holds NaN or infinite pixels; clean images must not: "
                f"replace the file, or take it away"
            )
        return self.intensity.normalise(raw)


@dataclass(frozen=True, eq=False)
class InMemory:
    """Planes (N, H, W) that have been read; a ``Planes``."""

    name: str
    pixels: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        planes, height, width = self.pixels.shape
        return planes, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.pixels.dtype

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """A window (h, w) of one plane."""
        window: NDArray[Any] = self.pixels[plane, rows, columns]
        return window

    def read_all(self) -> NDArray[Any]:
        """All planes (N, H, W)."""
        return self.pixels


def in_memory(volumes: Sequence[CleanVolume], budget_bytes: int) -> list[CleanVolume]:
    """The same volumes, those that fit the budget read into memory, in the order given.

    Raises:
        VolumeError: pixels that cannot be decoded.
    """
    held = []
    for volume in volumes:
        size = int(np.prod(volume.planes.shape)) * volume.planes.dtype.itemsize
        if size <= budget_bytes:
            budget_bytes -= size
            # A memory map is read-only and becomes a copy, whatever else has been read stays as it is.
            pixels = np.require(volume.planes.read_all(), requirements=["C", "W"])
            volume = replace(volume, planes=InMemory(volume.name, pixels))
        held.append(volume)
    return held
