"""How an image that is an array is denoised, and the parts of it that are done at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.stack import Defects, Denoised, Stack, Wanted
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.models.manifest import Precision
from baikal_deploy.pixels.arrays import Raw

log = logging.getLogger("baikal_deploy.denoising.images")  # the one that users know


@dataclass(frozen=True)
class Job:
    """How an image is denoised; what a process needs to do a part of it.

    Attributes:
        model, engine, precision: see ``Denoiser.load``.
        sampler, options: name and options of the sampler.
        seed: of the noise.
        dtype: of the result.
        defects: see ``Denoiser.denoise``.
    """

    model: str
    engine: str
    precision: Precision
    sampler: str
    options: Mapping[str, Any] = field(hash=False)
    seed: int
    dtype: np.dtype[Any]
    defects: Defects

    @property
    def denoiser(self) -> Denoiser:
        """The model, which each process loads once."""
        return _loaded(self.model, self.engine, self.precision)

    def sampler_of(self, denoiser: Denoiser) -> Sampler:
        """The sampler as it was asked for, with what the model recommends.

        Raises:
            ConfigError: options that do not go with it or the model.
        """
        sampler = make_sampler(self.sampler, self.options, denoiser.recommended(self.sampler))
        denoiser.check(sampler)
        return sampler


@lru_cache(maxsize=1)
def _loaded(model: str, engine: str, precision: Precision) -> Denoiser:
    return Denoiser.load(model, engine, precision=precision)


_ONE_AT_A_TIME = Lock()
"""Threads of one process take turns: an evaluation has all its cores."""


def recipe_of(sample: Sequence[Raw], job: Job) -> Recipe:
    """The recipe of a channel, which is measured.

    Args:
        sample: windows (H, W) of its planes, in raw units.
        job: how it is denoised.

    Raises:
        BaikalError: options, a model or an engine that cannot be used.
    """
    with _ONE_AT_A_TIME:
        denoiser = job.denoiser
        sampler = job.sampler_of(denoiser)
        measurement = denoiser.measure(sample, sampler)
        for note in measurement.notes():
            log.warning(note)
        return denoiser.recipe(sampler, measurement, job.seed)


def denoised_planes(
    planes: Raw, recipe: Recipe, job: Job, at: tuple[int, int, int], shape: Sequence[int]
) -> Denoised:
    """Denoise consecutive planes of a stack.

    Args:
        planes: (Z, H, W).
        recipe: of their channel.
        job: how.
        at: indices of the first along t, c and z.
        shape: of the whole image (T, C, Z, H, W).
    """
    t, c, z = at
    stack = (t * shape[1] + c) * shape[2]
    numbers = range(stack + z, stack + z + len(planes))
    with _ONE_AT_A_TIME:
        pixels = Stack(planes, numbers, None, [stack] * len(planes))  # planes of a stack share their noise
        return job.denoiser.run(recipe, pixels, wanted=Wanted(job.dtype, defects=job.defects))
