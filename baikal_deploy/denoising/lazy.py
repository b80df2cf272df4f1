"""Images that are Dask arrays, denoised block by block when these are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from baikal_deploy.denoising.job import Job, denoised_planes, recipe_of
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.measurement.sample import sample_windows
from baikal_deploy.pixels.arrays import Raw


def lazily(array: Any, job: Job) -> Any:
    """Denoise a Dask array (T, C, Z, H, W) when it is computed: plane by plane, in the blocks that it has."""
    from dask import array as dask_array

    da: Any = dask_array  # half of it is not typed
    blocks = array.rechunk({1: 1, 3: -1, 4: -1})
    channels = [
        da.map_blocks(
            _block,
            blocks[:, channel : channel + 1],
            recipe=_lazy_recipe(array[:, channel], job),
            job=job,
            channel=channel,
            shape=tuple(array.shape),
            dtype=job.dtype,
            meta=np.empty((0,) * 5, job.dtype),
        )
        for channel in range(array.shape[1])
    ]
    return da.concatenate(channels, axis=1)


def _lazy_recipe(planes: Any, job: Job) -> Any:
    """The recipe of a channel (T, Z, H, W), which is measured when it is first needed.

    The sample is that of an array of NumPy, but for channels most of whose windows hold one value: no others
    are looked for.
    """
    from dask.delayed import delayed

    windows = sample_windows(planes.shape[0] * planes.shape[1], planes.shape[2:])
    sample = [planes[(*divmod(number, planes.shape[1]), y, x)] for number, y, x in windows]
    return delayed(recipe_of, pure=True)(sample, job)


def _block(
    planes: Raw, *, recipe: Recipe, job: Job, channel: int, shape: Sequence[int], block_info: Any = None
) -> Raw:
    """Denoise a block (t, 1, z, H, W) of a channel."""
    (t, _), _, (z, _), *_ = block_info[0]["array-location"]
    result = [
        denoised_planes(stack[0], recipe, job, (t + number, channel, z), shape).planes[None]
        for number, stack in enumerate(planes)
    ]
    return np.stack(result)
