"""Spectral steps: how ``matched`` removes noise that is stronger at some frequencies than at others.

A network knows white noise. Kawar et al. (DDRM, NeurIPS 2022) take off noise of any spectrum frequency by
frequency: with the levels n falling, and s the noise's standard deviation at a frequency, the data Y count as
they are where s ≤ n, and elsewhere what the estimate X0 leaves of them is weakened to noise of level n,

    X = X0 + min(1, n/s)·(Y − X0),

in the Fourier domain. Nothing is drawn. Where all s are equal there is one level and one evaluation: the
posterior mean. The filter min(1, n/s) hardly reaches farther than the noise is correlated, and is cut off
there, so that a part of a plane is treated as the whole is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.measurement.spectrum import LINE_REACH, Spectrum, covariance_of
from baikal_deploy.pixels.arrays import Planes, array_namespace, device

REACH = 32
"""Pixels that the filter looks around; where lines share noise, LINE_REACH of them."""
BLOCK = 512
"""Largest side of what is filtered at a time, in pixels."""
WEAKEST = 5
"""Percentile of the spectrum whose root is the last level."""
LEAST = 0.15
"""Least last level, in standard deviations of the noise: the network is not told of less."""


def reach_of(spectrum: Spectrum) -> int:
    """Pixels that a filter for the noise looks around."""
    return LINE_REACH if spectrum.has_lines else REACH


def levels(spectrum: Spectrum, start: float, count: int) -> list[float]:
    """Falling noise levels, in equal ratios: from ``start`` to that of the weakest noise of the spectrum.

    Args:
        spectrum: of the noise, on the network's scale.
        start: the first one.
        count: as many as are asked for; fewer where none lies below the first.
    """
    weakest = math.sqrt(float(np.percentile(spectrum.power(), WEAKEST)))
    last = max(weakest, LEAST * spectrum.std)
    if count == 1 or not last < start:
        return [start]
    return [float(level) for level in np.geomspace(start, last, count)]


@lru_cache(maxsize=32)
def response(spectrum: Spectrum, level: float) -> NDArray[np.float32]:
    """The filter min(1, n/s) by its response to one pixel: (2·reach + 1, 2·reach + 1).

    Args:
        spectrum: S = s².
        level: n.
    """
    power, reach = spectrum.power(), reach_of(spectrum)
    share = level / np.sqrt(np.maximum(power, level**2))
    axis = np.abs(np.linspace(-1, 1, 2 * reach + 3)[1:-1])
    window = np.cos(np.clip(2 * axis - 1, 0, 1) * np.pi / 2) ** 2
    cut = covariance_of(share, reach) * np.outer(window, window)
    found: NDArray[np.float32] = cut.astype(np.float32)
    found.flags.writeable = False
    return found


def filtered(planes: Planes, kernel: NDArray[np.float32]) -> Planes:
    """Planes convolved with a kernel, reflected at their edges; by FFT, block by block.

    Args:
        planes: (N, 1, H, W).
        kernel: of odd and equal sides.

    Returns:
        (N, 1, H, W).
    """
    xp, reach = array_namespace(planes), len(kernel) // 2
    padded = _reflected(planes, reach)
    result: Planes = xp.empty_like(planes)
    height, width = planes.shape[2:]
    sides = [min(side, BLOCK) for side in (height, width)]
    shape = tuple(_fast(side + 2 * reach) for side in sides)
    waves = xp.fft.rfftn(xp.asarray(_around_origin(kernel, shape), device=device(planes)), axes=(0, 1))
    for top in range(0, height, sides[0]):
        for left in range(0, width, sides[1]):
            part = padded[..., top : top + sides[0] + 2 * reach, left : left + sides[1] + 2 * reach]
            product = xp.fft.rfftn(part, s=shape, axes=(2, 3)) * waves
            whole = xp.fft.irfftn(product, s=shape, axes=(2, 3))
            rows, columns = (side - 2 * reach for side in part.shape[2:])
            inner = whole[..., reach : reach + rows, reach : reach + columns]
            result[..., top : top + rows, left : left + columns] = inner
    return result


def _reflected(planes: Planes, margin: int) -> Planes:
    xp: Any = array_namespace(planes)
    for axis in (2, 3):
        indices = np.pad(np.arange(planes.shape[axis]), margin, mode="reflect")
        planes = xp.take(planes, xp.asarray(indices, device=device(planes)), axis=axis)
    return planes


def _around_origin(kernel: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The kernel on a grid around which it wraps, centre first."""
    grid, near = np.zeros(shape, np.float32), np.arange(len(kernel)) - len(kernel) // 2
    grid[np.ix_(near % shape[0], near % shape[1])] = kernel
    return grid


def _fast(side: int) -> int:
    """Least length from ``side`` on whose FFT is quick: a multiple of 32 without large factors."""
    return next(length for length in range(-(-side // 32) * 32, 2 * side + 64, 32) if _smooth(length))


def _smooth(length: int) -> bool:
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    return length == 1
