"""Trust in a result: its standard deviation, and the maps of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.ndimage import gaussian_filter

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.stack import Denoised, Wanted
from baikal_deploy.diffusion.samplers._spectral import filtered
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.pixels.arrays import Planes
from baikal_deploy.pixels.cells import CELL

PROBES = 8
STEP = 0.3
"""Step of the finite differences, in standard deviations of the noise: too little to look like structure, too
much to be rounded away."""
SMOOTH = 2.0
"""Width of the blur, in pixels, over what the probes of neighbouring pixels leave of each other."""
KEPT, LEAST = 0.9, 0.002
"""The response counts KEPT times, plus LEAST for what a network has not learnt (simulated planes)."""
DETAIL_WINDOW = 16
"""Side of the windows, in cells, in which the detail of result and data is compared (``guard``)."""
REACH = max(int(4 * SMOOTH), (DETAIL_WINDOW // 2 + 1) * CELL)
"""Pixels that a map's value at one pixel depends on around it."""


@dataclass(frozen=True)
class Maps:
    """Maps to be filled in by ``Denoiser.denoise``; None where nobody asked.

    Attributes:
        std: standard deviation of what was denoised, in raw units, float32 (N, H, W).
        suspect: 1 where the result contradicts the data, uint8 (N, H, W).
    """

    std: Planes | None = None
    suspect: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, shape: tuple[int, ...], std: bool, suspect: bool) -> Self:
        """Empty maps: nothing is uncertain, and nothing suspect.

        Args:
            shape: (N, H, W).
            std: make the map of the standard deviation.
            suspect: make the map of suspect pixels.
        """
        return cls(
            np.zeros(shape, np.float32) if std else None, np.zeros(shape, np.uint8) if suspect else None
        )

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConfigError unless they are maps of planes (N, H, W).

        Args:
            shape: (N, H, W).
        """
        for name, own in (("std", self.std), ("suspect", self.suspect)):
            if own is not None and own.shape != shape:
                raise ConfigError(
                    f"maps: {name} has the shape {own.shape}, and the planes {shape}; make them with Maps.of"
                )

    def wanted(self, dtype: DTypeLike) -> Wanted:
        """Return what is wanted: planes of a pixel type, and these maps.

        Args:
            dtype: of the denoised planes.
        """
        return Wanted(dtype, std=self.std is not None, suspect=self.suspect is not None)

    def fill(self, denoised: Denoised) -> None:
        """Copy in the maps of planes that were denoised with those that are asked for here.

        Args:
            denoised: planes of the maps' shape.
        """
        if self.std is not None and denoised.std is not None:
            self.std[...] = denoised.std
        if self.suspect is not None and denoised.suspect is not None:
            self.suspect[...] = denoised.suspect


def mean_and_std(draws: Iterable[Planes]) -> tuple[Planes, Planes]:
    """Mean of two or more draws, and the standard deviation of what they are drawn from (Welford 1962).

    Args:
        draws: arrays of one shape.

    Returns:
        Mean and standard deviation, of the shape of a draw.
    """
    draws = iter(draws)
    mean = next(draws).copy()
    squares, count = np.zeros_like(mean), 1
    for draw in draws:
        count += 1
        before = draw - mean
        mean += before / np.float32(count)
        squares += before * (draw - mean)
    return mean, np.sqrt(squares / np.float32(count - 1))


def relative_std(
    denoise: Callable[[Planes], Planes],
    y: Planes,
    x0: Planes,
    spectrum: Spectrum,
    signs: Iterable[Planes],
    crop: Crop,
) -> Planes:
    """Standard deviation of a posterior mean over that of the noise.

    The covariance of what is left is J·Σ, with the Jacobian J = ∂x̂0/∂y and the noise's covariance Σ (Tweedie;
    Efron 2011). Its diagonal is probed by finite differences. Each probe moves one pixel in PROBES, and with
    it those that share its noise, on a grid on which they are as far apart as can be, so that a pixel's
    answer is hardly mixed with others'.

    Args:
        denoise: (N, 1, H, W) -> x̂0; it draws nothing at random.
        y: what was denoised, (N, 1, H, W).
        x0: ``denoise(y)``.
        spectrum: of y's noise, on the network's scale.
        signs: PROBES arrays of ±1, of y's shape.
        crop: where these planes lie in the whole ones, through which the grid runs.

    Returns:
        (N, 1, H, W), without a unit.
    """
    rows, columns = crop.coordinates()
    cell = (columns + 3 * rows) % PROBES
    step, together = np.float32(STEP * spectrum.std), shared(spectrum)
    response = np.zeros_like(y)
    for probe, sign in enumerate(signs):
        moved = (cell == probe) * sign
        response += moved * (denoise(y + step * together(moved)) - x0)
    response /= step
    smooth = gaussian_filter(response, SMOOTH, axes=(-2, -1))
    relative: Planes = np.sqrt(KEPT * np.maximum(smooth, 0) + LEAST)
    return relative


def shared(spectrum: Spectrum) -> Callable[[Planes], Planes]:
    """Function of planes (N, 1, H, W): the same times the noise's correlation matrix.

    Args:
        spectrum: of the noise, on the network's scale.
    """
    if spectrum.is_white:
        return lambda planes: planes
    kernel = (spectrum.covariance(spectrum.reach) / spectrum.std**2).astype(np.float32)
    return lambda planes: filtered(planes, kernel)
