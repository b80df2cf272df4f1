"""Measured noise, and drawing more of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baikal_deploy.measurement.noise_model import Kernel
from baikal_deploy.measurement.spectrum import power_of

SPAN = 2.0
"""Noise levels that are trained on reach from the measured one over this to the measured one times this."""


@dataclass(frozen=True)
class MeasuredNoise:
    """Noise of a volume, where it is equalised.

    Attributes:
        volume, fingerprint: what it was measured in.
        correlation: its autocorrelation.
        level: its standard deviation on the network's scale.
    """

    volume: str
    fingerprint: str
    correlation: Kernel
    level: float

    @property
    def levels(self) -> tuple[float, float]:
        """The noise levels to train on."""
        return self.level / SPAN, self.level * SPAN

    def summary(self) -> str:
        """One line for people."""
        low, high = self.levels
        centre = len(self.correlation) // 2
        beside, below = self.correlation[centre][centre + 1], self.correlation[centre + 1][centre]
        return (
            f"{self.volume}: noise level {self.level:.2f}, trained on {low:.2f} to {high:.2f}; "
            f"correlation of neighbours {beside:.2f} in a row, {below:.2f} in a column"
        )


def correlated(white: Tensor, correlation: Kernel) -> Tensor:
    """White noise (…, H, W) of variance 1 -> the same with an autocorrelation, around the edges.

    NumPy's transforms, since torch's need not be the same bits for every number of threads.
    """
    height, width = white.shape[-2:]
    waves = np.fft.rfft2(white.numpy()) * _response(correlation, height, width)
    return torch.from_numpy(np.fft.irfft2(waves, s=(height, width)).astype(np.float32))


@lru_cache(maxsize=8)
def _response(correlation: Kernel, height: int, width: int) -> NDArray[np.float32]:
    """The square root of the spectrum, for rfft2; its mean square over all frequencies is 1."""
    power = power_of(np.asarray(correlation), (height, width))
    response: NDArray[np.float32] = np.sqrt(power / power.mean())[:, : width // 2 + 1].astype(np.float32)
    return response
