"""The motion of a living tissue from frame to frame; lengths in pixels, times in frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from baikal_training.simulate.packing import Points
from baikal_training.simulate.waves import WaveField

FLOW_LENGTH = 300.0  # wavelength of the common flow, pixels
FLOW_PERIOD = 50.0  # frames
FLOW = 4.0  # root mean square displacement per axis, pixels: about 0.5 pixels per frame
WOBBLE_PERIOD = 14.0
WOBBLE = 0.6


@dataclass(frozen=True)
class Motion:
    """A smooth common flow, and a small wobble of each point on its own.

    Both are bounded, so that a long series stays within the scene painted around the field.
    """

    flow: tuple[WaveField, ...]
    wobble: WaveField

    @classmethod
    def random(cls, rng: Generator, dimensions: int) -> Self:
        flow = tuple(WaveField.random(rng, FLOW_LENGTH, dimensions + 1, 6) for _ in range(dimensions))
        return cls(flow, WaveField.random(rng, 1.0, 3, 8))

    def displacement(self, points: NDArray[Any], time: float) -> Points:
        """The flow (dimensions, …) at points (dimensions, …)."""
        clock = np.full((1, *points.shape[1:]), time * FLOW_LENGTH / FLOW_PERIOD)
        where = np.concatenate([points, clock])
        return np.asarray(FLOW * np.stack([field(where) for field in self.flow]), np.float64)

    def shake(self, count: int, dimensions: int, time: float) -> Points:
        """The wobble (dimensions, count) of points which are known by their number."""
        number, axis = np.meshgrid(np.arange(count) * 17.31, np.arange(dimensions) * 5.77)
        clock = np.full(number.shape, time / WOBBLE_PERIOD)
        return WOBBLE * self.wobble(np.stack([number, axis, clock])).astype(np.float64)
