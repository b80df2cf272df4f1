"""Checks of what cannot work, before anything is computed."""

from __future__ import annotations

import numpy as np

from baikal_deploy.denoising.stack import Stack
from baikal_deploy.denoising.trust import Maps
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import ModelManifest
from baikal_deploy.pixels.arrays import Raw


def check_noise(sampler: Sampler, manifest: ModelManifest) -> None:
    """Raise ConfigError for a walk with a model that does not know white noise, which walks add.

    Args:
        sampler: as asked for.
        manifest: of the model.
    """
    if isinstance(sampler, WalkSampler) and manifest.noise_correlation is not None:
        raise ConfigError(
            f"model {manifest.name}: was fine-tuned to correlated noise, and this sampler adds white noise, "
            "which the model does not know; choose sampler auto or matched"
        )


def check_sampler(sampler: Sampler, manifest: ModelManifest, num_timesteps: int) -> None:
    """Raise ConfigError for options that no noise level could make fit a model.

    Args:
        sampler: as asked for.
        manifest: of the model.
        num_timesteps: T of the model.
    """
    check_noise(sampler, manifest)
    wants = sampler.variance if isinstance(sampler, WalkSampler) else "model"
    if wants == "learned_range" != manifest.variance:
        raise ConfigError(
            f"variance learned_range: model {manifest.name} has no variance output; "
            "choose fixed_small or fixed_large"
        )
    sampler.resolved(num_timesteps - 1, num_timesteps, manifest.variance)


def check_std(sampler: Sampler, wanted_by: str) -> None:
    """Raise ConfigError for a sampler whose result has no standard deviation.

    Args:
        sampler: as asked for.
        wanted_by: for the message.
    """
    if sampler.draws == 1:
        raise ConfigError(
            f"{wanted_by}: the sampler draws once at random, and one draw has no standard deviation; add "
            "runs=2 or more (-o runs=8), or take auto or matched"
        )


def check_beside(sampler: Sampler, name: str, stack: Stack, maps: Maps) -> None:
    """Raise ConfigError for a guide or maps that the sampler has no use for.

    Also for maps of another shape than the planes.

    Args:
        sampler: as asked for.
        name: of the sampler, for the message.
        stack: the planes, with their guides if there are any.
        maps: that are asked for beside the planes.
    """
    if stack.guides is not None and not sampler.TAKES_GUIDE:
        raise ConfigError(f"guide: sampler {name} takes none; use forward-backward, mixing or repaint")
    if maps.std is not None:
        check_std(sampler, "maps")
    maps.check(stack.pixels.shape)


def stack_of(planes: Raw, guide: Raw | None, *, share_noise: bool) -> Stack:
    """The planes that a user gives, (H, W) or (N, H, W), and their guides.

    Args:
        planes: any integer or real pixel type, in raw units.
        guide: another denoiser's output for the planes, of their shape; None: there is none.
        share_noise: whether they share a noise field.

    Raises:
        ConfigError: they are not planes of real numbers, or the guide has another shape.
    """
    pixels, guides = _as_planes(planes), None if guide is None else _as_planes(guide)
    if guides is not None and guides.shape != pixels.shape:
        raise ConfigError(f"guide of shape {guides.shape}: must have the shape of the planes, {pixels.shape}")
    indices = range(len(pixels))
    return Stack(pixels, indices, guides, [0] * len(pixels) if share_noise else indices)


def _as_planes(planes: Raw) -> Raw:
    planes = np.asarray(planes)
    if planes.ndim not in (2, 3) or 0 in planes.shape:
        raise ConfigError(f"planes of shape {planes.shape}: needed is (H, W) or (N, H, W)")
    if planes.dtype.kind not in "uif":
        raise ConfigError(
            f"planes of dtype {planes.dtype}: needed are real numbers, integer or floating point"
        )
    return planes.reshape(-1, *planes.shape[-2:])
