"""BM3D told the spectrum of the noise, in the domain of the generalised Anscombe transform.

BM3D for noise of any spectrum: Mäkinen, Azzari, Foi, IEEE Trans. Image Processing 29, 2020, by the package
of its authors. Level and spectrum are what the runtime measures: from ``matched`` only the denoiser differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from baikal_deploy._version import __version__
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.sample import sample_windows
from baikal_deploy.pixels.arrays import Values
from baikal_evaluation.methods._bm3d import bm3d_version, load_bm3d
from baikal_evaluation.methods._model import Model
from baikal_evaluation.methods.anscombe_bm3d import inverse, transformed
from baikal_evaluation.methods.base import Method, Prediction, Stack

LEAST = 1e-3
"""Least power at a frequency, as a share of the mean: where resampled images have none, BM3D divides by 0."""


class SpectralBM3D(Method):
    """BM3D plane by plane, with gain, level and spectrum of the noise as the runtime measures them."""

    def __init__(self, model: Model) -> None:
        self._denoiser = model.load()

    @classmethod
    def with_model(cls, model: Model) -> SpectralBM3D:
        return cls(model)

    @property
    def identity(self) -> dict[str, Any]:
        own = {"bm3d": bm3d_version(), "least": LEAST}
        return own | {"baikal-deploy": __version__, "model": self._denoiser.model_sha256}

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        windows = [noisy[plane, y, x] for plane, y, x in sample_windows(len(noisy), noisy.shape[1:])]
        noise = self._denoiser.measure(windows, make_sampler("matched", {}, {})).noise
        assert noise is not None, "matched measures it"
        planes = [denoised(plane, whole(noise)) for plane in noisy.astype(np.float64)]
        return Prediction(np.stack(planes).astype(np.float32))


def whole(noise: NoiseModel) -> NoiseModel:
    """The noise with the variance of its pixels in place of that of its finest detail, which is measured."""
    factor = noise.correlation**2
    return replace(
        noise,
        gain=noise.gain * factor,
        intercept=noise.intercept * factor,
        level=noise.level * noise.correlation,
    )


def denoised(plane: Values, noise: NoiseModel) -> Values:
    """A plane (H, W) in raw units without its noise.

    Args:
        plane: in raw units.
        noise: with the variance of its pixels (see ``whole``).
    """
    if not noise.level > 0:
        return plane
    spectrum = power_spectrum(noise, plane.shape) if noise.is_correlated else None
    if noise.gain == 0:
        return bm3d_of(plane / noise.level, spectrum) * noise.level
    return inverse(bm3d_of(transformed(plane, noise), spectrum), noise)


def power_spectrum(noise: NoiseModel, shape: tuple[int, ...]) -> Values:
    """Power spectrum of noise of variance 1 on the frequencies of a plane; white noise has 1 everywhere.

    Args:
        noise: its kernel, which wraps around where it is larger than the plane, and what lines share.
        shape: of the plane.

    Returns:
        The variance of each coefficient of the orthonormal Fourier transform, in the order of
        ``np.fft.fft2``; LEAST times the mean or more.
    """
    values, grid = np.asarray(noise.kernel, dtype=np.float64), np.zeros(shape)
    rows, columns = (np.arange(side) - side // 2 for side in values.shape)
    np.add.at(grid, np.ix_(rows % shape[0], columns % shape[1]), values)
    grid[0] += noise.rows  # a row has its share in common from one end to the other
    grid[:, 0] += noise.columns
    spectrum: Values = np.fft.fft2(grid).real / (1 + noise.rows + noise.columns)
    return np.maximum(spectrum, LEAST * spectrum.mean())


def bm3d_of(plane: Values, spectrum: Values | None) -> Values:
    """BM3D of a plane whose noise has variance 1 and a spectrum; None: it is white."""
    bm3d = load_bm3d()
    if spectrum is None:
        white: Values = bm3d(plane, 1.0)
        return white
    with _trapz():
        result: Values = bm3d(
            plane, spectrum * plane.size
        )  # bm3d counts the unnormalised transform's variance
        return result


@contextmanager
def _trapz() -> Iterator[None]:
    """``numpy.trapz`` while BM3D looks at a spectrum: bm3d 4.0.3 calls it, and NumPy 2.4 has renamed it.

    It is given back for the call alone, so that no other package takes this NumPy for an older one.
    """
    if hasattr(np, "trapz"):
        yield
        return
    setattr(np, "trapz", np.trapezoid)  # noqa: B010  # no attribute, for a type checker
    try:
        yield
    finally:
        delattr(np, "trapz")
