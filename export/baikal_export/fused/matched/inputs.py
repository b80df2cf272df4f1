"""The inputs of the graph beside the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.cells import CELL
from baikal_export.fused.matched.spectrum import KERNEL_SIDE

INPUTS = {
    "intensity": [2],
    "noise_model": [3],
    "correlation": [4],
    "kernel": [KERNEL_SIDE, KERNEL_SIDE],
}
"""Their shapes. NaN stands for what is to be measured; in the last two, which are measured together, zeros
stand for noise that pixels do not share."""
MEASURABLE = "intensity", "noise_model"
"""Inputs whose numbers are measured one by one."""


def told(intensity: IntensityMap, noise: NoiseModel) -> dict[str, NDArray[np.float32]]:
    """The inputs for a channel that was measured.

    Args:
        intensity: of the channel.
        noise: of the channel, in raw units.
    """
    numbers = {
        "intensity": (intensity.low, intensity.high),
        "noise_model": (noise.gain, noise.intercept, noise.floor),
        "correlation": (noise.correlation, noise.raised, noise.rows, noise.columns),
        "kernel": noise.kernel or np.zeros(INPUTS["kernel"]),
    }
    return {name: np.array(values, np.float32) for name, values in numbers.items()}


def told_gate(gate: Gate) -> dict[str, NDArray[np.float32]]:
    """The inputs of a live graph for a stream whose gate was measured."""
    return {
        "gate": np.array([gate.allowed["t"], gate.coarse["t"]], np.float32),
        "shares": np.array(gate.shares, np.float32),
    }


def beginning(height: int, width: int) -> dict[str, NDArray[np.float32]]:
    """The state of a stream before its first frame.

    Args:
        height, width: of the frames, in pixels.
    """
    plane, cells = (1, 1, height, width), (1, 1, -(-height // CELL), -(-width // CELL))
    shapes = {"estimate": plane, "left": cells, "frames": plane}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
