"""Differences between the results of engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.denoising.windows import DEFAULT_OVERLAP, DEFAULT_TILE
from baikal_deploy.diffusion.random_field import NoiseField
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.engines.base import Engine
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Planes
from baikal_export.planes import CleanPlanes, NoisyPlane
from baikal_training.data.volumes import Plane
from baikal_training.noise import correlated

Outputs = tuple[Planes, Planes | None]
SIGMA = 0.5
"""Standard deviation of the noise in planes that are denoised, on the network's scale."""
DATA_RANGE = 2.0
"""Data range of PSNR and SSIM: the network's scale, where a clean image's percentiles lie at −1 and 1."""
TIMESTEPS = 5
ERROR_PLANES = 4
"""Planes that the error at each timestep is measured on."""
_SAMPLER_SEED, _OBSERVED_SEED, _ERROR_SEED = 0, 1, 2
_UNTRACED = ((1, 7, 3, 0.017), (3, 2, 9, 0.801), (4, 5, 5, 0.2505))
"""Shapes that no export traces: (batch, height and width in units of the downsampling, share of T)."""


def timesteps(manifest: ModelManifest, count: int) -> list[int]:
    """``count`` timesteps, spread evenly over 0 … T−1."""
    return [round(t) for t in np.linspace(0, manifest.schedule.num_timesteps - 1, count)]


def noisy_planes(clean: CleanPlanes, manifest: ModelManifest) -> list[NoisyPlane]:
    """Noisy planes: ERROR_PLANES of the clean ones at each of TIMESTEPS; noise alone if there are none."""
    if not clean.planes:
        side = 8 * manifest.downsampling
        noise = (NoiseField(_ERROR_SEED, plane, (side, side))(1, 0) for plane in range(ERROR_PLANES))
        clean = CleanPlanes(tuple(noise), clean.source)
    steps = [t for t in timesteps(manifest, TIMESTEPS) for _ in range(ERROR_PLANES)]
    few = CleanPlanes(clean.planes[:ERROR_PLANES], clean.source)
    return list(few.noised(manifest.schedule.build(), steps, _ERROR_SEED))


def untraced_shapes(manifest: ModelManifest) -> list[NoisyPlane]:
    """Noise, in shapes and batch sizes and at timesteps that no export traces."""
    last = manifest.schedule.num_timesteps - 1
    inputs = []
    for batch, height, width, share in _UNTRACED:
        shape = (height * manifest.downsampling, width * manifest.downsampling)
        planes = [NoiseField(_ERROR_SEED, plane, shape)(2, 0) for plane in range(batch)]
        inputs.append((np.stack(planes)[:, None], share * last))
    return inputs


def relative_error(found: Outputs, wanted: Outputs) -> float:
    """‖found − wanted‖ / ‖wanted‖, the larger one of eps and v; NaN if any value is."""
    pairs = [
        (a, np.asarray(b, np.float64))
        for a, b in zip(found, wanted, strict=True)
        if a is not None and b is not None
    ]
    with np.errstate(all="ignore"):  # what is not finite shows in the result
        return float(np.max([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs]))


def sampler_of(manifest: ModelManifest) -> str:
    """Name of the sampler that networks are compared with.

    In Repaint's many evaluations differences add up; but a network that does not know white noise has only
    one sampler.
    """
    return "repaint" if manifest.noise_correlation is None else "matched"


def denoised(engine: Engine, model_path: Path, clean: CleanPlanes) -> list[Plane]:
    """The planes with noise of SIGMA, denoised by ``sampler_of`` with the model's own options.

    The noise and its level are known, so that nothing but the network's results can differ.
    """
    return denoised_at(SIGMA, engine, model_path, clean, _OBSERVED_SEED, sampler_of(engine.manifest), {})


def denoised_at(
    sigma: float,
    engine: Engine,
    model_path: Path,
    clean: CleanPlanes,
    seed: int,
    sampler_name: str,
    options: Mapping[str, Any],
) -> list[Plane]:
    """The planes with noise, denoised at the level of that noise.

    Args:
        sigma: standard deviation of the noise, on the network's scale.
        engine: the open network.
        model_path: its file.
        clean: planes on the network's scale.
        seed: of the noise.
        sampler_name: see ``make_sampler``.
        options: of the sampler; the others are those that the model recommends.
    """
    denoiser = Denoiser(engine, model_path, DEFAULT_TILE, DEFAULT_OVERLAP, 1, {})
    sampler = make_sampler(sampler_name, options, denoiser.recommended(sampler_name))
    recipe = denoiser.recipe(sampler, Measurement(IntensityMap(-1.0, 1.0), sigma, 0), _SAMPLER_SEED)
    results = []
    for index, plane in enumerate(clean.planes):
        noise = NoiseField(seed, index, (plane.shape[0], plane.shape[1]))(0, 0)
        noisy = plane + np.float32(sigma) * that_it_knows(noise, engine.manifest)
        results.append(denoiser.run(recipe, Stack(noisy[None], [index])).planes[0])
    return results


def that_it_knows(white: Plane, manifest: ModelManifest) -> Plane:
    """Noise as a model knows it, made of white noise (H, W)."""
    kernel = manifest.noise_correlation
    if kernel is None:
        return white
    noise: Plane = correlated(torch.from_numpy(white), kernel).numpy()
    return noise


def quality(results: Sequence[Plane], clean: CleanPlanes) -> tuple[float, float]:
    """PSNR in dB and SSIM against the clean planes, means over planes."""
    pairs = list(zip(clean.planes, results, strict=True))
    psnr = [peak_signal_noise_ratio(plane, result, data_range=DATA_RANGE) for plane, result in pairs]
    ssim = [structural_similarity(plane, result, data_range=DATA_RANGE) for plane, result in pairs]
    return float(np.mean(psnr)), float(np.mean(ssim))
