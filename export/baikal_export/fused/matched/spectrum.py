"""``Spectrum`` as nodes: how strong correlated noise is at every frequency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.diffusion.samplers._spectral import LEAST, REACH, WEAKEST
from baikal_deploy.measurement.spectrum import LINE_REACH, SIDE
from baikal_deploy.measurement.spectrum import REACH as KERNEL_REACH
from baikal_export.fused.matched.sorting import falling, percentile
from baikal_export.fused.matched.transforms import covariance_of, power_of, power_of_line
from baikal_export.fused.nodes import Nodes, Value

KERNEL_SIDE = 2 * KERNEL_REACH + 1


@dataclass(frozen=True)
class Correlation:
    """How a channel's noise is correlated between pixels; see ``NoiseModel``.

    Attributes:
        std: standard deviation of the noise over that of its finest detail; a scalar, as the next three.
        raised: level at which a network that knows white noise removes it, over the same.
        rows, columns: variance of what pixels of a row, of a column, share, over that of the rest.
        kernel: autocorrelation of the rest, (KERNEL_SIDE, KERNEL_SIDE).
    """

    std: Value
    raised: Value
    rows: Value
    columns: Value
    kernel: Value

    @classmethod
    def white(cls, nodes: Nodes) -> Correlation:
        """That of independent pixels."""
        one, nothing = nodes.constant(1.0), nodes.constant(0.0)
        return cls(one, one, nothing, nothing, nodes.constant(white_kernel()))

    @classmethod
    def of(cls, values: list[Value]) -> Correlation:
        """What ``values`` told."""
        std, raised, rows, columns, kernel = values
        return cls(std, raised, rows, columns, kernel)

    @property
    def values(self) -> list[Value]:
        """All fields, in their order."""
        return [self.std, self.raised, self.rows, self.columns, self.kernel]

    @property
    def has_lines(self) -> Value:
        return self.rows + self.columns > 0.0

    @property
    def is_white(self) -> Value:
        return self.kernel.abs().sum() + self.rows + self.columns <= 1.0


def white_kernel() -> NDArray[np.float32]:
    """The kernel of independent pixels."""
    kernel = np.zeros((KERNEL_SIDE, KERNEL_SIDE), np.float32)
    kernel[KERNEL_REACH, KERNEL_REACH] = 1
    return kernel


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of equalised noise, on the network's scale.

    Attributes:
        correlation: of the noise.
        std: of the noise, a scalar.
        power: S, (SIDE, SIDE), as ``np.fft.fft2`` orders frequencies.
    """

    correlation: Correlation
    std: Value
    power: Value

    @classmethod
    def of(cls, correlation: Correlation, std: Value) -> Spectrum:
        """The spectrum of noise of a standard deviation."""
        nodes, rows, columns = std.nodes, correlation.rows, correlation.columns
        distances = np.arange(-LINE_REACH, LINE_REACH + 1)
        line = power_of_line(1 - np.abs(distances) / (LINE_REACH + 1), SIDE)
        own = power_of(correlation.kernel, KERNEL_REACH, SIDE)
        power = own + rows * nodes.constant(line[None]) + columns * nodes.constant(line[:, None])
        variance = std * std / (rows + columns + 1.0)
        return cls(correlation, std, (power * variance).at_least(0.0))

    def weakest(self) -> Value:
        """The level of the last step; see ``_spectral.levels``."""
        weakest = percentile(falling(self.power.flat())[0], WEAKEST).sqrt()
        return weakest.at_least(self.std * LEAST)

    def response(self, level: Value) -> Value:
        """See ``_spectral.response``: (1, 1, side, side) with a side of 2·REACH + 1 or 2·LINE_REACH + 1."""
        nodes, lines = level.nodes, self.correlation.has_lines
        share = level / self.power.at_least(level * level).sqrt()
        whole = covariance_of(share, LINE_REACH, SIDE)
        wide, narrow = (nodes.constant(_window(reach)) for reach in (LINE_REACH, REACH))
        whole = whole * nodes.where(lines, wide, narrow)
        beyond = nodes.where(lines, nodes.ints([0]), nodes.ints([LINE_REACH - REACH]))
        end = nodes.ints([2 * LINE_REACH + 1]) - beyond
        return nodes.op("Unsqueeze", whole.part(0, beyond, end).part(1, beyond, end), nodes.ints([0, 1]))


def _window(reach: int) -> NDArray[np.float64]:
    """The window of a response that looks so far, with zeros up to LINE_REACH."""
    axis = np.abs(np.linspace(-1, 1, 2 * reach + 3)[1:-1])
    window = np.pad(np.cos(np.clip(2 * axis - 1, 0, 1) * np.pi / 2) ** 2, LINE_REACH - reach)
    return np.outer(window, window)
