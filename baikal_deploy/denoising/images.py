"""Arrays in, arrays out: images with any of the axes t, c, z, y, x, of NumPy, Dask or xarray."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from baikal_deploy.denoising.checks import check_beside, stack_of
from baikal_deploy.denoising.denoiser import NO_MAPS, Denoiser
from baikal_deploy.denoising.recipe import Recipe
from baikal_deploy.denoising.stack import Defects, Denoised, Stack, Wanted
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER, make_sampler
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.engines import AUTO
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.sample import Window, sample_windows, sampled
from baikal_deploy.models.manifest import DEFAULT_MODEL, Precision
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import Tally

log = logging.getLogger(__name__)
ORDER = "tczyx"
USUAL = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
"""Axes of arrays that nothing names, by their number."""


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
    clean = _lazily(own, job) if is_dask else _at_once(own, job)
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
        recipe = _recipe(sampled(read, count, planes.shape[2:]), job)
        for t in range(len(planes)):
            denoised = _denoised(planes[t], recipe, job, (t, channel, 0), array.shape)
            result[t, channel] = denoised.planes
            counts += denoised.counts
    for note in counts.notes():
        log.warning(note)
    return result


def _recipe(sample: Sequence[Raw], job: Job) -> Recipe:
    """The recipe of a channel."""
    with _ONE_AT_A_TIME:
        denoiser = job.denoiser
        sampler = job.sampler_of(denoiser)
        measurement = denoiser.measure(sample, sampler)
        for note in measurement.notes():
            log.warning(note)
        return denoiser.recipe(sampler, measurement, job.seed)


def _denoised(
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


def _lazily(array: Any, job: Job) -> Any:
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
    return delayed(_recipe, pure=True)(sample, job)


def _block(
    planes: Raw, *, recipe: Recipe, job: Job, channel: int, shape: Sequence[int], block_info: Any = None
) -> Raw:
    """Denoise a block (t, 1, z, H, W) of a channel."""
    (t, _), _, (z, _), *_ = block_info[0]["array-location"]
    result = [
        _denoised(stack[0], recipe, job, (t + number, channel, z), shape).planes[None]
        for number, stack in enumerate(planes)
    ]
    return np.stack(result)
