"""Smooth random fields that can be evaluated anywhere, at any time: sums of plane waves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Values = NDArray[np.float32]


@dataclass(frozen=True)
class WaveField:
    """A field of zero mean and unit variance over space (and time, as one more coordinate).

    Attributes:
        vectors: wave vectors (waves, dimensions), in radians per unit of length.
        phases: (waves,), in radians.
    """

    vectors: Values
    phases: Values

    @classmethod
    def random(cls, rng: Generator, wavelength: float, dimensions: int, waves: int = 16) -> Self:
        """Waves of random directions, with lengths from 0.7 to 1.4 times `wavelength`."""
        directions = rng.standard_normal((waves, dimensions))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength * np.exp(rng.uniform(np.log(0.7), np.log(1.4), (waves, 1)))
        vectors = 2 * np.pi * directions / lengths
        return cls(vectors.astype(np.float32), rng.uniform(0, 2 * np.pi, waves).astype(np.float32))

    def __call__(self, points: NDArray[Any]) -> Values:
        """Values at points (dimensions, …): shape (…)."""
        flat = points.reshape(len(points), -1).astype(np.float32)
        waves = np.cos(self.vectors @ flat + self.phases[:, None])
        values = waves.sum(0) * np.float32(np.sqrt(2 / len(self.phases)))
        return np.asarray(values.reshape(points.shape[1:]))
