"""Camera noise on clean images; numpy only.

Correlated noise: the share c of the variance at every pixel belongs to Gaussian noise that is smoothed
along rows by ROW_KERNEL. A pixel's variance does not change; the correlation of neighbours in a row is
2/3·c, of second neighbours 1/6·c, and 0 farther away and between rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError
from baikal_training.seeds import Stream, generator

Volume = NDArray[np.float32]

READ_SHARE = 0.5
"""Share of read noise in the noise variance of add_noise; the rest is shot noise."""
ROW_KERNEL = np.array([1.0, 2.0, 1.0]) / np.sqrt(6.0)
"""Kernel that smooths noise along rows; of unit norm, so that white noise keeps its variance."""
PSNR_RANGE = (0.0, 60.0)
"""Range of Camera.at_psnr, in dB: 16-bit counts hold the noise without clipping it."""
PEAK = 10_000.0  # counts above the offset where the clean volume is 1, in Camera.at_psnr


@dataclass(frozen=True)
class Camera:
    """A detector with shot noise, Gaussian read noise, saturation, and noise correlated along rows.

    Above the offset, the mean is gain·photons·clean counts, and var = gain·mean + read_noise².

    Attributes:
        photons: photoelectrons per pixel where the clean volume is 1.
        gain: counts per photoelectron.
        read_noise: standard deviation, in counts.
        offset: counts in the dark.
        full_well: most photoelectrons that a pixel holds.
        bits: of the converter, 1 to 16; counts end at 2^bits - 1.
        correlated: share of the variance that is correlated along rows, 0 … 1.
    """

    photons: float = 10.0
    gain: float = 40.0
    read_noise: float = 40.0
    offset: float = 200.0
    full_well: float = np.inf
    bits: int = 16
    correlated: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.photons <= 1e9 and 0 < self.gain < np.inf):
            raise ConfigError(f"camera: photons (1e9 at most) and gain must be positive, not {self}")
        if not (0 <= self.read_noise < np.inf and 0 <= self.offset < np.inf):
            raise ConfigError(f"camera: read_noise and offset must be 0 or more, not {self}")
        if not (self.full_well > 0 and 1 <= self.bits <= 16):
            raise ConfigError(f"camera: full_well must be positive and bits 1 to 16, not {self}")
        if not 0 <= self.correlated <= 1:
            raise ConfigError(f"camera: correlated is {self.correlated}; it must be 0 to 1")

    @classmethod
    def at_psnr(cls, clean: Volume, psnr: float, correlated: float = 0.0) -> Self:
        """The camera whose noise on `clean` has a given PSNR, for the peak gain·photons.

        Read noise is 1 photoelectron, so with v = 10^(-psnr/10) and m the mean of `clean`, photons p
        solve m/p + 1/p² = v. Where `clean` is 1, counts are PEAK above the offset; the offset is
        100 + 4 times the read noise.

        Args:
            clean: any shape, range 0 … 1.
            psnr: in dB, within PSNR_RANGE.
            correlated: see Camera.

        Raises:
            ConfigError: a number is out of range; `clean` is empty or leaves 0 … 1.
        """
        _check_clean(clean)
        if not PSNR_RANGE[0] <= psnr <= PSNR_RANGE[1]:
            low, high = PSNR_RANGE
            raise ConfigError(f"camera: psnr is {psnr}; it must be {low:g} to {high:g} dB")
        mean, variance = float(clean.mean(dtype=np.float64)), 10 ** (-psnr / 10)
        photons = (mean + np.sqrt(mean**2 + 4 * variance)) / (2 * variance)
        gain = PEAK / photons
        return cls(photons, gain, gain, 100 + float(np.ceil(4 * gain)), correlated=correlated)

    def expose(self, clean: Volume, seed: int = 0) -> NDArray[np.uint16]:
        """Counts of one exposure of `clean` (any shape, range 0 … 1), clipped to 0 … 2^bits - 1.

        Raises:
            ConfigError: `clean` is empty or leaves the range 0 … 1, or the seed is negative.
        """
        _check_clean(clean)
        rng = generator(Stream.CAMERA, seed)
        electrons = np.minimum(rng.poisson(self.photons * clean.astype(np.float64)), self.full_well)
        counts = self.gain * electrons + rng.normal(self.offset, self.read_noise, clean.shape)
        if self.correlated:
            counts = self._correlate(counts, clean, seed)
        return self._digitise(counts)

    def expected(self, clean: Volume) -> NDArray[np.uint16]:
        """Counts that ``expose`` would give without noise.

        Raises:
            ConfigError: `clean` is empty or leaves the range 0 … 1.
        """
        _check_clean(clean)
        return self._digitise(self._mean(clean))

    def _mean(self, clean: Volume) -> NDArray[np.float64]:
        electrons = np.minimum(self.photons * clean.astype(np.float64), self.full_well)
        return np.asarray(self.offset + self.gain * electrons)

    def _correlate(self, counts: NDArray[np.float64], clean: Volume, seed: int) -> NDArray[np.float64]:
        """The same noise with the share `correlated` of its variance replaced by row noise."""
        mean = self._mean(clean)
        deviation = np.sqrt(self.gain * (mean - self.offset) + self.read_noise**2)
        row = deviation * _row_noise(clean.shape, seed)
        white = np.sqrt(1 - self.correlated) * (counts - mean)
        return np.asarray(mean + white + np.sqrt(self.correlated) * row)

    def _digitise(self, counts: NDArray[np.float64]) -> NDArray[np.uint16]:
        return np.asarray(np.clip(np.rint(counts), 0, 2**self.bits - 1), np.uint16)


def _row_noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Gaussian noise of unit variance, correlated along the last axis by ROW_KERNEL."""
    rng = generator(Stream.ROWS, seed)
    width, reach = shape[-1], len(ROW_KERNEL) - 1
    white = rng.standard_normal((*shape[:-1], width + reach))
    return sum((k * white[..., i : i + width] for i, k in enumerate(ROW_KERNEL)), np.zeros(shape))


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
