"""The only source of random numbers: normal fields addressed by coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError

BLOCK = 64
"""Side of the square blocks, each with its own generator. Part of the format: results change with it."""


@dataclass(frozen=True)
class NoiseField:
    """Standard normal noise as a function of (seed, plane, visit, draw, y, x).

    A plane is covered by fixed blocks of 64², and each block has its own counter-based generator,
    Philox(key = [seed, plane], counter = [0, block, visit, draw]); so a crop of the field equals
    the field of the crop bit for bit, and nothing depends on tiles, batches, workers or restarts.

    Attributes:
        seed: seed of the run, 0 … 2⁶⁴−1.
        plane: index of the plane in its volume.
        shape: (height, width) of the field.
        origin: (y, x) of its first pixel in the whole plane.
    """

    seed: int
    plane: int
    shape: tuple[int, int]
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed {self.seed}: must lie within 0 … 2^64 − 1")

    def __call__(self, visit: int, draw: int) -> NDArray[np.float32]:
        """The field for the walk's ``visit``-th position and the ``draw``-th draw there: (H, W)."""
        (top, left), (height, width) = self.origin, self.shape
        rows = range(top // BLOCK, -(-(top + height) // BLOCK))
        columns = range(left // BLOCK, -(-(left + width) // BLOCK))
        field = np.empty((len(rows) * BLOCK, len(columns) * BLOCK), dtype=np.float32)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                block = self._block(row, column, visit, draw)
                field[i * BLOCK : (i + 1) * BLOCK, j * BLOCK : (j + 1) * BLOCK] = block
        y, x = top - rows.start * BLOCK, left - columns.start * BLOCK
        return field[y : y + height, x : x + width]

    def _block(self, row: int, column: int, visit: int, draw: int) -> NDArray[np.float32]:
        counter = np.array([0, row << 32 | column, visit, draw], dtype=np.uint64)
        key = np.array([self.seed, self.plane], dtype=np.uint64)
        generator = np.random.Generator(np.random.Philox(counter=counter, key=key))
        return generator.standard_normal((BLOCK, BLOCK), dtype=np.float32)


def noise_source(
    seed: int, planes: Sequence[int], shape: tuple[int, int], like: NDArray[np.float32]
) -> Callable[[int, int], NDArray[np.float32]]:
    """(visit, draw) -> noise of several planes: (len(planes), 1, height, width).

    Args:
        planes: their indices in the volume.
        like: an array of the kind to return.
    """
    fields = [NoiseField(seed, plane, shape) for plane in planes]

    def noise(visit: int, draw: int) -> NDArray[np.float32]:
        return np.stack([field(visit, draw) for field in fields])[:, None]

    return noise
