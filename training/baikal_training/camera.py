"""Camera noise on clean images; numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError
from baikal_training.seeds import Stream, generator

Volume = NDArray[np.float32]

READ_SHARE = 0.5
"""Of the noise variance of add_noise; the rest is shot noise."""


@dataclass(frozen=True)
class Camera:
    """A detector with shot noise and Gaussian read noise.

    Above the offset, the mean is gain·photons·clean counts, and var = gain·mean + read_noise².

    Attributes:
        photons: photoelectrons per pixel where the clean volume is 1.
        gain: counts per photoelectron.
        read_noise: standard deviation, in counts.
        offset: counts in the dark.
    """

    photons: float = 10.0
    gain: float = 40.0
    read_noise: float = 40.0
    offset: float = 200.0

    def __post_init__(self) -> None:
        if not (0 < self.photons <= 1e9 and 0 < self.gain < np.inf):
            raise ConfigError(f"camera: photons (1e9 at most) and gain must be positive, not {self}")
        if not (0 <= self.read_noise < np.inf and 0 <= self.offset < np.inf):
            raise ConfigError(f"camera: read_noise and offset must be 0 or more, not {self}")

    def expose(self, clean: Volume, seed: int = 0) -> NDArray[np.uint16]:
        """Counts of one exposure of `clean` (any shape, range 0 … 1), clipped to 0 … 65535.

        Raises:
            ConfigError: `clean` is empty or leaves the range 0 … 1, or the seed is negative.
        """
        _check_clean(clean)
        rng = generator(Stream.CAMERA, seed)
        counts = self.gain * rng.poisson(self.photons * clean.astype(np.float64))
        counts = counts + rng.normal(self.offset, self.read_noise, clean.shape)
        return np.asarray(np.clip(np.rint(counts), 0, 65535), np.uint16)


def add_noise(clean: Volume, psnr: float, seed: int = 0) -> Volume:
    """White Poisson-Gaussian noise of a given PSNR, not clipped; the shape of `clean`.

    Args:
        clean: any shape, range 0 … 1.
        psnr: -10·log10(mean squared noise), in dB for a peak of 1; -20 … 80.
        seed: of the noise, 0 or more.

    Raises:
        ConfigError: a number is out of range; `clean` is empty, all zero, or leaves 0 … 1.
    """
    _check_clean(clean)
    if not -20 <= psnr <= 80:
        raise ConfigError(f"noise: psnr is {psnr}; it must be -20 to 80 dB")
    if not clean.any():
        raise ConfigError("noise: the clean array is zero everywhere, so it has no shot noise")
    variance = 10 ** (-psnr / 10)
    signal = clean.astype(np.float64)
    photons = signal.mean() / ((1 - READ_SHARE) * variance)
    rng = generator(Stream.NOISE, seed)
    noise = rng.poisson(photons * signal) / photons - signal
    noise += rng.normal(0, np.sqrt(READ_SHARE * variance), signal.shape)
    # Small planes scatter by tenths of a dB; a benchmark's level must not.
    noise *= np.sqrt(variance / np.mean(noise**2))
    return np.asarray(signal + noise, np.float32)


def _check_clean(clean: Volume) -> None:
    if not (clean.size and clean.min() >= 0 and clean.max() <= 1):  # also false for NaN
        raise ConfigError("simulation: clean array is empty or leaves the range 0 to 1; normalise it")
