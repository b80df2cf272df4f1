"""How a run is decided, in the order in which things can be known, before its first byte is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from baikal_deploy.denoising.checks import check_std
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.regions import most_windows
from baikal_deploy.denoising.stack import Wanted
from baikal_deploy.diffusion.samplers import make_sampler, sampler_class
from baikal_deploy.errors import ConfigError
from baikal_deploy.host.machine import free_bytes, resident_bytes
from baikal_deploy.run.choice import Choice, choose
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.inputs import Input, WholeInput
from baikal_deploy.run.items import Work
from baikal_deploy.run.memory import MemoryModel, memory_limit
from baikal_deploy.run.models.asked import Asked, files_of
from baikal_deploy.run.models.loaded import Loaded, Models
from baikal_deploy.run.plan import Plan, Round
from baikal_deploy.run.recipes import Group, Recipes
from baikal_deploy.run.resume.fingerprint import differences, fingerprint
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.standing import Standing, look, settle
from baikal_deploy.volumes.layout import Layout, default_layout, plan_items


def plan(
    config: RunConfig, source: Input | None, *, threads: int | None, processes: int, only_plan: bool
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
        _models(config, dict(enumerate([path] for path in asked.files)), threads).close()
    choice = choose(config, source)
    seen = look(config, only_plan)  # before anything that takes long
    with ExitStack() as stack:
        models = load(config, choice, threads)
        stack.callback(models.close)
        work = _work(config, choice, models)
        told = _fingerprint(config, source, choice, work)
        standing = settle(config, source, seen, told, only_plan)
        work.recipes.add(standing.measurements(config))
        work = _measured(source, choice, work, standing)
        models.close_unused()
        memory = _memory(config, source, choice, work)
        layout = _layout(memory, limit, standing.earlier)
        _fit(models, choice, layout)
        stack.pop_all()
    return Plan(config, source, work.volume, choice.skipped, work, limit, memory, layout, told, standing)


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
        models = load(config, choice, threads)
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
        stack.pop_all()
    return Round(work, choice.written, layout, plan_items(choice.written, layout))


def load(config: RunConfig, choice: Choice, threads: int | None) -> Models:
    """Load the models of all channels.

    Args:
        config: the options of the run.
        choice: of the input.
        threads: CPU threads of an evaluation; None: all cores.

    Raises:
        ModelError: a model cannot be used.
        EngineError: the engine cannot be used.
        ConfigError: options that do not go with a model or the sampler.
    """
    if not choice.models:  # all is copied; outputs tell of the model all the same
        path = Asked.of(config.model).files[0]
        return Models({path: _loaded(config, path, threads)}, {})
    return _models(config, {channel: files_of(model) for channel, model in choice.models.items()}, threads)


def _models(config: RunConfig, files: Mapping[int, Sequence[Path]], threads: int | None) -> Models:
    return Models.load(files, lambda path: _loaded(config, path, threads))


def _loaded(config: RunConfig, path: Path, threads: int | None) -> Loaded:
    """Load a model, and make the sampler as asked for."""
    denoiser = Denoiser.load(
        path,
        config.engine,
        precision=config.precision,
        threads=threads,
        tile=config.tile,
        overlap=config.overlap,
        batch=config.batch,
    )
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
    by_time = config.normalise == "per-timepoint" and choice.written.has_time
    recipes = Recipes(choice.volume, models, config.seed, by_time, config.on_error)
    std, suspect = config.uncertainty is not None, config.mask is not None
    wanted = Wanted(choice.written.dtype, std, suspect, config.defects)
    return Work(recipes, choice.guide, wanted, config.shared_axes, config.on_error)


def _fingerprint(config: RunConfig, source: Input, choice: Choice, work: Work) -> dict[str, Any]:
    told = fingerprint(config, choice.guide, work.recipes)
    contents = source.contents(choice.volume)
    return told if contents is None else told | {"contents of the input": contents}


def _measured(source: Input, choice: Choice, work: Work, standing: Standing) -> Work:
    """The work on all that is there, with what is known of every channel."""
    source.continue_at(None if standing.earlier is None else standing.earlier.ended)
    early = replace(work.recipes, volume=source.beginning(choice.volume))
    for channel in early.channels:
        early.first(channel)
    # What is known is shared by all that are made of these recipes.
    return replace(work, recipes=replace(work.recipes, volume=source.now(choice.volume)))


def _memory(config: RunConfig, source: Input, choice: Choice, work: Work) -> MemoryModel:
    """Model of the run's memory; every engine takes most of its own when it is first called."""
    predictors, info = [own.denoiser.predictor for own in work.recipes.models.used], choice.volume.info
    written = source.for_layout(replace(choice.written, chunk=choice.volume.whole.info.chunk))
    for predictor in predictors:
        windows, planes = len(predictor.plan(info.plane_shape).windows), default_layout(written).planes
        predictor.fitted(planes, windows).evaluate_once(info.plane_shape)
    return MemoryModel(
        resident_bytes() or 0,
        written,
        info.dtype.itemsize,
        [predictor.plan(info.plane_shape) for predictor in predictors],
        max((recipe.sampler.halo for recipe in work.recipes.known.values()), default=0),
        config.batch,
        choice.guide is not None,
        (4 if config.uncertainty else 0) + (1 if config.mask else 0),
        config.uncertainty is not None,
    )


def _layout(memory: MemoryModel, limit: int | None, earlier: Journal | None) -> Layout:
    if earlier is None:
        return memory.choose(limit)
    layout = Layout(**earlier.header["layout"])
    memory.check(layout, limit)
    return layout
