"""Arrays in, arrays out: images with any of the axes t, c, z, y, x, of NumPy, Dask or xarray."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from baikal_deploy.denoising.checks import check_beside, stack_of
from baikal_deploy.denoising.denoiser import NO_MAPS
from baikal_deploy.denoising.job import Job, denoised_planes, recipe_of
from baikal_deploy.denoising.lazy import lazily
from baikal_deploy.denoising.stack import Defects
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER
from baikal_deploy.engines import AUTO
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.sample import Window, sampled
from baikal_deploy.models.manifest import DEFAULT_MODEL, Precision
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import Tally

log = logging.getLogger(__name__)
ORDER = "tczyx"
USUAL = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
"""Axes of arrays that nothing names, by their number."""


def denoise(
    array: Any,
    axes: str | None = None,
    *,
    model: str = DEFAULT_MODEL,
    sampler: str = DEFAULT_SAMPLER,
    seed: int = 0,
    engine: str = AUTO,
    precision: Precision = "fp32",
    dtype: Any = None,
    defects: Defects = "replace",
    **options: Any,
) -> Any:
    """Denoise an image that is an array of NumPy, Dask or xarray; the result is one of the same kind.

    Each channel is measured by itself and each plane denoised by itself, as baikal-run does it, with the same
    result. What is worth knowing (copied planes, NaN pixels) goes to the log. Of a Dask array nothing is
    computed until the result is; a channel is then measured once, and blocks are denoised as they are asked
    for. An xarray.DataArray keeps its coordinates, attributes and name.

    >>> clean = denoise(stack, axes="zyx", model="nuclei")

    Args:
        array: integers or real numbers, in raw units.
        axes: what its axes are, such as "tczyx" or "zcyx"; each once, with y and x. None: the names of an
            xarray.DataArray, else yx, zyx, czyx or tczyx, by their number.
        model, engine, precision: see ``Denoiser.load``; the model stays loaded.
        sampler, options: name and options of the sampler.
        seed: the same seed gives the same result.
        dtype: of the result, which keeps the units; None: that of the array.
        defects: whether hot and dead pixels are replaced by what is around them, or keep their values.

    Returns:
        The denoised image, of the same shape and kind.

    Raises:
        ConfigError: axes, options or pixels that make no sense.
        ModelError: there is no such model, or its file cannot be used.
        EngineError: the engine cannot be used, or failed.
    """
    if hasattr(array, "dims") and hasattr(array, "coords"):
        names = axes or "".join(_short(name) for name in array.dims)
        more = {"dtype": dtype, "defects": defects, **options}
        return array.copy(
            data=denoise(
                array.data,
                names,
                model=model,
                sampler=sampler,
                seed=seed,
                engine=engine,
                precision=precision,
                **more,
            )
        )
    is_dask = type(array).__module__.partition(".")[0] == "dask"
    array = array if is_dask else np.asarray(array)
    found = _checked(axes, array)
    result_type = np.dtype(array.dtype if dtype is None else dtype)
    job = Job(str(model), engine, precision, sampler, options, seed, result_type, defects)
    denoiser = job.denoiser
    probe = stack_of(np.zeros((1, 1), np.uint8), None, share_noise=True)
    check_beside(job.sampler_of(denoiser), sampler, probe, NO_MAPS)
    own = _in_order(array, found)
    clean = lazily(own, job) if is_dask else _at_once(own, job)
    return _as_given(clean, found)


def _short(name: object) -> str:
    """One letter for the name of a dimension."""
    text = str(name).lower()
    return {"time": "t", "channel": "c"}.get(text, text)


def _checked(axes: str | None, array: Any) -> str:
    """Names of an array's axes."""
    if array.dtype.kind not in "uif" or 0 in array.shape:
        raise ConfigError(
            f"array of {array.dtype} {array.shape}: needed are real numbers, at least one plane"
        )
    names = USUAL.get(array.ndim) if axes is None else axes.lower()
    if names is None:
        raise ConfigError(
            f"array of {array.ndim} dimensions: 2 to 5 are supported, some of t, c, z, and y, x"
        )
    wrong = len(names) != array.ndim or len(set(names)) != len(names)
    if wrong or not set("yx") <= set(names) <= set(ORDER):
        raise ConfigError(
            f"axes '{names}' of an array of {array.ndim} dimensions: name each once, some of t, c, z, and "
            f'y, x, such as axes="zyx"'
        )
    return names


def _in_order(array: Any, axes: str) -> Any:
    """The array with the axes t, c, z, y, x; those that it lacks are of size 1."""
    kept = [axis for axis in ORDER if axis in axes]
    moved = array.transpose([axes.index(axis) for axis in kept])
    return moved[tuple(slice(None) if axis in kept else None for axis in ORDER)]


def _as_given(array: Any, axes: str) -> Any:
    """The array with the axes that it came with."""
    kept = [axis for axis in ORDER if axis in axes]
    without = array[tuple(slice(None) if axis in kept else 0 for axis in ORDER)]
    return without.transpose([kept.index(axis) for axis in axes])


def _at_once(array: Raw, job: Job) -> Raw:
    """Denoise an array (T, C, Z, H, W)."""
    result, counts = np.empty(array.shape, job.dtype), Tally()
    for channel in range(array.shape[1]):
        planes = array[:, channel]

        def read(windows: list[Window], planes: Raw = planes) -> list[Raw]:
            return [planes[*divmod(number, planes.shape[1]), y, x] for number, y, x in windows]

        count = planes.shape[0] * planes.shape[1]
        recipe = recipe_of(sampled(read, count, planes.shape[2:]), job)
        for t in range(len(planes)):
            denoised = denoised_planes(planes[t], recipe, job, (t, channel, 0), array.shape)
            result[t, channel] = denoised.planes
            counts += denoised.counts
    for note in counts.notes():
        log.warning(note)
    return result
