"""The base of all morphologies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]

MIN_SIZE = 16
WHITE = 99.9  # percentile of the light that becomes KNEE
KNEE = 0.8
"""Level above which light is compressed towards 1, so that a few voxels do not set an image's range."""


class Scene(ABC):
    """A kind of specimen under its microscope. One subclass per file of this folder.

    Attributes:
        label: of the channel.
        pixel_size: in micrometres.
        plane_spacing: distance of planes, in pixels.
    """

    label: ClassVar[str]
    pixel_size: ClassVar[float]
    plane_spacing: ClassVar[float]

    @abstractmethod
    def frames(self, shape: tuple[int, int, int, int], seed: int) -> Iterator[Volume]:
        """The light of every time point, (Z, Y, X) each, 0 or more, on a scale of its own.

        Args:
            shape: (T, Z, Y, X).
            seed: 0 or more.
        """

    def to_unit(self, light: Volume) -> Volume:
        """All frames (T, Z, Y, X) on the range 0 … 1, the brightest voxel 1."""
        scaled = light * (KNEE / max(float(np.percentile(light, WHITE)), 1e-6))
        above = KNEE + (1 - KNEE) * np.tanh(np.maximum(scaled - KNEE, 0) / (1 - KNEE))
        unit = np.where(scaled > KNEE, above, scaled)
        return np.asarray(unit / unit.max(), np.float32)
