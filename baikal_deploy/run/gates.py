"""The gates of a volume's channels: a few places are denoised with the planes beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from baikal_deploy.denoising.neighbours import measure_gate, unfused
from baikal_deploy.denoising.probes import Place
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.errors import ConfigError, NotFinite, VolumeError
from baikal_deploy.measurement.gate import NEIGHBOURS, Fuse, Gate
from baikal_deploy.measurement.sample import place_of, telling_only
from baikal_deploy.pixels.arrays import Plane, Region
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.recipes import Group, Recipes, group_size, plane_of
from baikal_deploy.volumes.base import VolumeInfo

PLACES = 4
"""Places of a channel that are looked at."""
SIDE = 256
"""Largest side of a place, in pixels."""
Rows = Mapping[str, tuple[list[int], list[int]]]
"""Numbers of a plane's neighbours by axis: those before it and those after it, the nearest first."""
TRIES = 3
"""Windows that are read for each place, of which the one with most in it is taken."""


def check_fusion(config: RunConfig, samplers: Iterable[Sampler], info: VolumeInfo) -> None:
    """Refuse fusion where it cannot be done.

    Args:
        config: the options of a run that fuses.
        samplers: as asked for, of every model that a channel may have.
        info: of what is to be written.

    Raises:
        ConfigError: a sampler that draws, a map of standard deviations, or planes without neighbours along an
            axis.
    """
    option = f"--fuse {config.fuse}"
    if any(sampler.draws for sampler in samplers):
        raise ConfigError(
            f"{option}: sampler {config.sampler} draws at random, so that its results differ even where all "
            "stays the same; take auto or matched"
        )
    if config.uncertainty is not None and not config.again:
        raise ConfigError(
            f"{option}: errors of neighbouring results are not independent, and no map of standard "
            "deviations of fused ones was shown to be calibrated; add --again, whose results have one, or "
            "leave --uncertainty out"
        )
    sizes = dict(zip((axis.name for axis in info.axes), info.shape, strict=True))
    for axis in config.fuse or "":
        if sizes.get(axis, 1) < 2:
            found = f"holds one step of axis {axis}" if axis in sizes else f"has no axis {axis}"
            raise ConfigError(f"{option}: {config.input} {found}, so that no plane has neighbours along it")


def rows(info: VolumeInfo, plane: int, axes: Fuse, growing: str = "") -> Rows:
    """Neighbours of a plane by axis: numbers of those before it and after it, the nearest first.

    All else about them is the same: channel, and position on the other axes.

    Args:
        info: of the volume.
        plane: its number.
        axes: along which results are fused.
        growing: axis along which only what came before is known, "" if there is none.
    """
    position, names = info.position(plane), [axis.name for axis in info.axes]
    found = {}
    for axis in axes:
        along, reach = names.index(axis), NEIGHBOURS[axis]
        at, size = position[along], info.shape[along]
        step = int(np.prod(info.shape[along + 1 : -2], dtype=np.int64))
        later = 0 if axis == growing else min(reach, size - 1 - at)
        before, after = range(1, min(reach, at) + 1), range(1, later + 1)
        found[axis] = [plane - step * far for far in before], [plane + step * far for far in after]
    return found


def add_gates(recipes: Recipes, axes: Fuse, growing: str = "") -> None:
    """Find the gate of each channel that has none yet; it goes into the measurement of its first group.

    Args:
        recipes: with measurements of the first groups.
        axes: along which results are to be fused.
        growing: see ``rows``.

    Raises:
        VolumeError: a place cannot be read, and that is to end the run.
        EngineError: the network failed.
    """
    for channel in recipes.channels:
        group, recipe = recipes.first_group(channel), recipes.first(channel)
        if recipe.measurement.gate is not None:
            continue
        places = list(_places(recipes, channel, axes, growing)) if recipe.nfe else []
        denoiser = recipes.models.of(channel).denoiser
        gate = measure_gate(denoiser, recipe, places, axes) if places else Gate.closed(axes)
        recipes.add({group: replace(recipe.measurement, gate=gate).record()})


def _places(recipes: Recipes, channel: int, axes: Fuse, growing: str) -> Iterator[Place]:
    """Places of a channel that can be read and hold more than one value."""
    info, group = recipes.volume.info, recipes.first_group(channel)
    size = group_size(info, group)
    count = min(PLACES, size)
    for number in range(count):
        plane = _inner(info, plane_of(info, group, (2 * number + 1) * size // (2 * count)), axes)
        try:
            window = _window(recipes, plane, number)
            if window is not None:
                yield _place(recipes, plane, window, rows(info, plane, axes, growing))
        except (VolumeError, NotFinite):
            if recipes.on_error == "stop":
                raise


def _inner(info: VolumeInfo, plane: int, axes: Fuse) -> int:
    """The nearest plane with all its neighbours, as far as there is one."""
    position, names = list(info.position(plane)), [axis.name for axis in info.axes]
    for axis in axes:
        along, reach = names.index(axis), NEIGHBOURS[axis]
        last = info.shape[along] - 1
        position[along] = min(max(position[along], min(reach, last // 2)), max(last - reach, last // 2))
    return int(np.ravel_multi_index(position, info.shape[:-2]))


def _window(recipes: Recipes, plane: int, number: int) -> Region | None:
    """The window of a plane that differs most within; None if all hold one value."""
    shape, found = recipes.volume.info.plane_shape, list[tuple[float, Region]]()
    for attempt in range(TRIES):
        window = place_of(number + attempt * PLACES, shape, SIDE)
        pixels = recipes.volume.read_window(plane, *window)
        if telling_only([pixels]):
            finite = pixels[np.isfinite(pixels)].astype(np.float64)
            found.append((float(finite.std()), window))
        if max(shape) <= SIDE:
            break
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _place(recipes: Recipes, plane: int, window: Region, neighbours: Rows) -> Place:
    intensity = recipes.of(_group(recipes, plane)).measurement.intensity
    sides = {}
    for axis, both in neighbours.items():
        before, after = (list(_results(recipes, numbers, window)) for numbers in both)
        sides[axis] = before, after
    data = intensity.normalise(recipes.volume.read_window(plane, *window))
    return Place(data, next(_results(recipes, [plane], window)), sides)


def _results(recipes: Recipes, planes: Sequence[int], window: Region) -> Iterator[Plane]:
    """Results of some planes, until one cannot be read: nothing is taken from beyond a gap."""
    for plane in planes:
        group = _group(recipes, plane)
        try:
            pixels = recipes.volume.read_window(plane, *window)
            recipe = recipes.of(group)
        except VolumeError:
            if recipes.on_error == "stop":
                raise
            return
        yield unfused(recipes.models.of(group[1]).denoiser, recipe, pixels[None])[0]


def _group(recipes: Recipes, plane: int) -> Group:
    group = recipes.group(plane)
    assert group is not None  # the plane is of a channel that is denoised
    return group
