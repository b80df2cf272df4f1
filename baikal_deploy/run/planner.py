"""How a run is decided, in the order in which things can be known, before its first byte is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.denoising.checks import check_std
from baikal_deploy.denoising.regions import most_windows
from baikal_deploy.denoising.stack import Wanted
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.diffusion.samplers import make_sampler, sampler_class
from baikal_deploy.errors import ConfigError
from baikal_deploy.host.machine import free_bytes, resident_bytes
from baikal_deploy.host.sizes import memory_limit
from baikal_deploy.run.begun import Begun, begun_here
from baikal_deploy.run.choice import Choice, choose
from baikal_deploy.run.config import RunConfig, Unfused
from baikal_deploy.run.display import measured_ranges
from baikal_deploy.run.finished import Finished
from baikal_deploy.run.fused_again import second_half
from baikal_deploy.run.gates import add_gates, check_fusion
from baikal_deploy.run.inputs import Input, WholeInput
from baikal_deploy.run.items import Work
from baikal_deploy.run.memory import HELD, MemoryModel
from baikal_deploy.run.models.asked import Asked, files_of
from baikal_deploy.run.models.loaded import Loaded, Models
from baikal_deploy.run.plan import Half, Plan, Round
from baikal_deploy.run.recipes import Group, Recipes
from baikal_deploy.run.resume.fingerprint import differences, fingerprint
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.resume.session import finished_before
from baikal_deploy.run.standing import Standing, look, settle
from baikal_deploy.volumes.layout import Layout, default_layout, plan_items
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.shown import displayed

RESULT = np.dtype(np.float32)
"""Pixel type of results before they are fused."""
AGAIN_BYTES = 16
"""What planes that are denoised again hold beside them, in bytes a pixel of maps (``memory.COPIES_MAPS``)."""

GPU_SHARE = 0.8
"""Part of a GPU's free memory that planes may take: its display and other programs take some, too."""


def plan(
    config: RunConfig,
    source: Input | None,
    *,
    threads: int | None,
    processes: int,
    shared: bool,
    only_plan: bool,
) -> Plan:
    """Decide everything, in the order in which it can be known; arguments and errors are those of ``Run``.

    Returns:
        The plan, whose models are loaded; close it.
    """
    sampler_class(config.sampler)
    free = free_bytes()
    limit = memory_limit(config.memory, None if free is None else free // processes)
    source = source or WholeInput(config)
    asked = Asked.of(config.model)
    asked.check()  # also those that no channel of this image has
    if not source.is_there:  # what else is wrong with a model is said before anything is waited for
        _models(config, dict(enumerate([path] for path in asked.files)), threads, begun_here(config)).close()
    choice = choose(config, source, shared=shared)
    config = choice.config
    seen = look(config, only_plan)  # before anything that takes long
    with ExitStack() as stack:
        models = load(config, choice, threads, begun_here(config))
        stack.callback(models.close)
        work = _work(config, choice, models)
        told = _fingerprint(config, source, choice, work)
        standing = settle(config, source, seen, told, only_plan)
        work.recipes.add(standing.measurements(config))
        half = None
        if config.fuse is not None and config.results is None:
            half = _half(config, source, choice, work, standing, only_plan)
            work.recipes.add(half.standing.measurements(half.config))
        denoising = standing if half is None else half.standing
        work = _measured(source, choice, work, denoising.earlier or standing.earlier)
        growing = _growing(config, source, choice)
        if config.fuse is not None:
            known = replace(work.recipes, volume=source.beginning(choice.volume))
            add_gates(known, config.fuse, growing)
        models.close_unused()
        memory = _memory(config, source, choice, work)
        layout = _layout(memory, limit, denoising.earlier)
        _fit(models, choice, layout)
        omero = _omero(source, choice, work, denoising.earlier or standing.earlier)
        stack.pop_all()
    found = work, limit, memory, layout, told, standing, choice.why, omero
    return Plan(config, source, work.volume, choice.skipped, *found, half, growing)


def _growing(config: RunConfig, source: Input, choice: Choice) -> str:
    """The axis along which an input grows, if results are fused along it; "" otherwise."""
    first = choice.written.axes[0].name
    return first if source.grows and first in (config.fuse or "") else ""


def _half(
    config: RunConfig, source: Input, choice: Choice, work: Work, standing: Standing, only_plan: bool
) -> Half:
    """The first half of a run that fuses."""
    own = Unfused.of(config)
    told = _fingerprint(own, source, choice, work)
    if standing.finished or standing.refused is not None:
        return Half(own, told, Standing())
    if finished_before(replace(own, overwrite=False), told):
        own = replace(own, overwrite=False)
    return Half(own, told, settle(own, source, standing, told, only_plan))


def plan_part(
    config: RunConfig,
    header: Mapping[str, Any],
    measurements: Mapping[Group, Mapping[str, Any]],
    threads: int | None,
) -> Round:
    """The items of a run that another process holds the session of, to be done here. Close its models.

    Args:
        config: the options of the run.
        header: of the run's journal.
        measurements: what is known there already, as ``Measurement.record`` has it.
        threads: CPU threads of an evaluation; None: all cores.

    Raises:
        ConfigError: here they would not make the same pixels.
        VolumeError: the input cannot be read.
        ModelError: the model cannot be used.
        EngineError: the engine cannot be used, or failed.
    """
    source = WholeInput(config)
    choice = choose(config, source)
    with ExitStack() as stack:
        begun = Begun.of(replace(config, overwrite=False), header["fingerprint"])  # it is not begun anew here
        models = load(config, choice, threads, begun)
        stack.callback(models.close)
        work = _work(config, choice, models)
        told = _fingerprint(config, source, choice, work)
        if header["fingerprint"] != told:
            what = differences(header["fingerprint"], told, "but here")
            raise ConfigError(
                f"would not make the same pixels: {what}; install the same versions and models everywhere"
            )
        work.recipes.add(measurements)
        models.close_unused()
        layout = Layout(**header["layout"])
        _fit(models, choice, layout)
        written = replace(choice.written, omero=header.get("omero"))
        if config.fuse is not None and config.results is None and not isinstance(config, Unfused):
            work = second_half(config).of(work, open_input(config.unfused), config.fuse)
        stack.pop_all()
    return Round(work, written, layout, plan_items(written, layout))


def load(config: RunConfig, choice: Choice, threads: int | None, begun: Begun) -> Models:
    """Load the models of all channels.

    Args:
        config: the options of the run.
        choice: of the input.
        threads: CPU threads of an evaluation; None: all cores.
        begun: what the output was begun with, if it was.

    Raises:
        ModelError: a model cannot be used.
        EngineError: the engine cannot be used.
        ConfigError: options that do not go with a model or the sampler.
    """
    if not choice.models:  # all is copied; outputs tell of the model all the same
        path = Asked.of(config.model).files[0]
        return Models({path: _loaded(config, path, threads, begun)}, {})
    files = {channel: files_of(model) for channel, model in choice.models.items()}
    return _models(config, files, threads, begun)


def _models(
    config: RunConfig, files: Mapping[int, Sequence[Path]], threads: int | None, begun: Begun
) -> Models:
    return Models.load(files, lambda path: _loaded(config, path, threads, begun))


def _loaded(config: RunConfig, path: Path, threads: int | None, begun: Begun) -> Loaded:
    """Load a model, and make the sampler as asked for."""
    denoiser = begun.load(path, threads)
    try:
        sampler = make_sampler(config.sampler, config.options, denoiser.recommended(config.sampler))
        denoiser.check(sampler)
    except BaseException:
        denoiser.close()
        raise
    return Loaded(denoiser, sampler)


def _fit(models: Models, choice: Choice, layout: Layout) -> None:
    """Settle how many windows each model's network takes in a call: no more than an item has.

    Plane and layout decide it, and never what is left to do: with another number the same window may be
    rounded otherwise.
    """
    for own in models.used:
        predictor = own.denoiser.predictor
        windows = most_windows(predictor.plan(choice.volume.info.plane_shape), layout.edge)
        own.denoiser.predictor = predictor.fitted(layout.planes, windows)


def _work(config: RunConfig, choice: Choice, models: Models) -> Work:
    if choice.guide is not None and not sampler_class(config.sampler).TAKES_GUIDE:
        raise ConfigError(
            f"--guide {config.guide}: sampler {config.sampler} takes none; add --sampler "
            "forward-backward, mixing or repaint"
        )
    if config.uncertainty is not None:
        for own in models.used:
            check_std(own.sampler, f"--uncertainty {config.uncertainty}")
    if config.fuse is not None:
        check_fusion(config, [own.sampler for own in models.used], choice.written)
    by_time = config.normalise == "per-timepoint" and choice.written.has_time
    recipes = Recipes(choice.volume, models, config.seed, by_time, config.on_error)
    std, suspect = config.uncertainty is not None, config.mask is not None
    wanted = Wanted(choice.written.dtype, std, suspect, config.defects)
    work = Work(recipes, choice.guide, wanted, config.shared_axes, config.on_error)
    if config.fuse is not None and config.results is not None:
        made = Finished.at(config.results, config, recipes)
        return second_half(config).of(work, made, config.fuse, made.counts, made.rounded)
    return work.unfused if isinstance(config, Unfused) else work


def _fingerprint(config: RunConfig, source: Input, choice: Choice, work: Work) -> dict[str, Any]:
    told = fingerprint(config, choice.guide, work.recipes)
    contents = source.contents(choice.volume)
    return told if contents is None else told | {"contents of the input": contents}


def _measured(source: Input, choice: Choice, work: Work, earlier: Journal | None) -> Work:
    """The work on all that is there, with what is known of every channel."""
    source.continue_at(None if earlier is None else earlier.ended)
    early = replace(work.recipes, volume=source.beginning(choice.volume))
    for channel in early.channels:
        early.first(channel)
    # What is known is shared by all that are made of these recipes.
    return replace(work, recipes=replace(work.recipes, volume=source.now(choice.volume)))


def _memory(config: RunConfig, source: Input, choice: Choice, work: Work) -> MemoryModel:
    """Model of the run's memory; every engine takes most of its own when it is first called."""
    predictors, info = [own.denoiser.predictor for own in work.recipes.models.used], choice.volume.info
    written = choice.written
    if config.fuse is not None and written.dtype.itemsize < RESULT.itemsize:
        written = replace(written, dtype=RESULT)  # in between
    written = source.for_layout(replace(written, chunk=choice.volume.whole.info.chunk))
    for predictor in predictors:
        plan = predictor.plan(info.plane_shape)
        fitted = predictor.fitted(default_layout(written).planes, len(plan.windows))
        if fitted.engine.most_pixels < fitted.batch * plan.y.window * plan.x.window:
            fitted.evaluate_once(info.plane_shape)
    return MemoryModel(
        resident_bytes() or HELD,
        written,
        max(info.dtype.itemsize, 0 if config.fuse is None else RESULT.itemsize),
        [predictor.plan(info.plane_shape) for predictor in predictors],
        max((recipe.sampler.halo for recipe in work.recipes.known.values()), default=0),
        config.batch,
        choice.guide is not None,
        (4 if config.uncertainty else 0) + (1 if config.mask else 0) + (AGAIN_BYTES if config.again else 0),
        config.uncertainty is not None,
        _free_on_device(predictors),
        config.shard_bytes,
    )


def _free_on_device(predictors: Sequence[TiledPredictor]) -> int | None:
    """Bytes that planes may take on a GPU; None without one."""
    free = [found for one in predictors if (found := one.engine.free_bytes()) is not None]
    return int(GPU_SHARE * min(free)) if free else None


def _layout(memory: MemoryModel, limit: int, earlier: Journal | None) -> Layout:
    if earlier is None:
        return memory.choose(limit)
    layout = Layout(**earlier.header["layout"])
    memory.check(layout, limit)
    return layout


def _omero(source: Input, choice: Choice, work: Work, earlier: Journal | None) -> dict[str, Any] | None:
    """Display of the output's channels: that of an unfinished run, or as the beginning has it."""
    if earlier is not None:
        found: dict[str, Any] | None = earlier.header.get("omero")
        return found
    beginning = replace(work.recipes, volume=source.beginning(choice.volume))
    return displayed(choice.written, measured_ranges(beginning))
