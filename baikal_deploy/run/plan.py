"""All that is decided before the first byte of a run is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from baikal_deploy.denoising.checks import check_std
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Wanted
from baikal_deploy.diffusion.samplers import make_sampler, sampler_class
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.host.machine import free_bytes, resident_bytes
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.inputs import Input, WholeInput
from baikal_deploy.run.items import Work
from baikal_deploy.run.memory import MemoryModel, memory_limit
from baikal_deploy.run.outputs import check_formats, check_places
from baikal_deploy.run.provenance import measurements_of
from baikal_deploy.run.recipes import Group, Recipes
from baikal_deploy.run.resume.fingerprint import differences, fingerprint
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.resume.session import check_session, finished_before
from baikal_deploy.volumes.base import Volume, VolumeInfo, WorkItem
from baikal_deploy.volumes.channels import find_channels
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.layout import Layout, plan_items
from baikal_deploy.volumes.open import files_of, open_input
from baikal_deploy.volumes.selection import SelectedVolume, select, select_alike
from baikal_deploy.volumes.urls import Source


@dataclass(frozen=True)
class Round:
    """Part of an input that is denoised at a time: all of one that is whole.

    Attributes:
        work: how its items are done, with the volume that they are of.
        written: what the output is.
        layout: how the output is cut into items.
        items: all of them.
    """

    work: Work
    written: VolumeInfo
    layout: Layout
    items: Sequence[WorkItem]

    @property
    def regions_per_plane(self) -> int:
        """Regions that a plane is cut into; 1 where it stays whole."""
        return 1 if self.layout.edge is None else len(self.items) // self.written.num_planes

    @property
    def evaluations(self) -> int:
        """Network evaluations of planes (of regions, where they are cut), as far as is known."""
        return self.work.recipes.evaluations * self.work.each * self.regions_per_plane


@dataclass(frozen=True)
class Standing:
    """State of the places where a run is to write.

    Attributes:
        earlier: the journal of the unfinished run that is continued; None if there is none.
        finished: whether an earlier run of the same kind has finished all outputs.
        refused: why it may not be executed, if it is only planned.
    """

    earlier: Journal | None = None
    finished: bool = False
    refused: VolumeError | None = None


@dataclass(frozen=True)
class Plan:
    """A run that is decided: everything is checked and measured, nothing is written.

    Attributes:
        config: what was asked for.
        input: what is read.
        chosen: what is denoised of it, as far as it was there.
        work: how the items are done, with the loaded model and the recipes of all planes.
        sampler: as asked for; each recipe holds it with nothing left automatic.
        limit: bytes of memory that a process may take; None where none was set and what is free is unknown.
        memory: what it takes.
        layout: how the output is cut into items.
        fingerprint: of everything that decides what is written.
        standing: what is where it is to write.
    """

    config: RunConfig
    input: Input
    chosen: SelectedVolume
    work: Work
    sampler: Sampler
    limit: int | None
    memory: MemoryModel
    layout: Layout
    fingerprint: dict[str, Any]
    standing: Standing

    @property
    def denoiser(self) -> Denoiser:
        """The loaded model."""
        return self.work.recipes.denoiser

    def round(self, volume: SelectedVolume) -> Round:
        """The round that denoises a part of what was chosen.

        Args:
            volume: the part.
        """
        written = replace(volume.info, dtype=np.dtype(self.work.wanted.dtype))
        work = replace(self.work, recipes=replace(self.work.recipes, volume=volume))
        return Round(work, written, self.layout, plan_items(written, self.layout))

    def close(self) -> None:
        """Free the model."""
        self.denoiser.close()


def plan(
    config: RunConfig,
    source: Input | None = None,
    *,
    threads: int | None = None,
    processes: int = 1,
    only_plan: bool = False,
) -> Plan:
    """Decide everything, in the order in which it can be known.

    Args:
        config: the options of the run.
        source: what is read; None: the config's input, which is whole.
        threads: CPU threads of an evaluation; None: all cores.
        processes: of this machine that share its free memory: those that do the items.
        only_plan: outputs that are there already are no error until the plan is executed.

    Returns:
        The plan, whose model is loaded; close it.

    Raises:
        ConfigError: options that do not go together, or with the input or the model.
        VolumeError: the input cannot be read, or an output cannot be written there.
        ModelError: the model cannot be used.
        EngineError: the engine cannot be used, or failed.
    """
    sampler_class(config.sampler)
    free = free_bytes()
    limit = memory_limit(config.memory, None if free is None else free // processes)
    source = source or WholeInput(config)
    if not source.is_there:  # what is wrong with the model is said before anything is waited for
        load(config, threads)[0].close()
    opened = _open(config, source)
    seen = _look(config, only_plan)  # before anything that takes long
    with ExitStack() as stack:
        denoiser, sampler = load(config, threads)
        stack.callback(denoiser.close)
        work = _work(config, opened, denoiser, sampler)
        told = _fingerprint(config, source, opened, work)
        standing = _settle(config, source, seen, told, only_plan)
        work.recipes.add(_known(config, standing))
        work = _measured(source, opened, work, standing)
        memory = _memory(config, source, opened, work)
        layout = _layout(memory, limit, standing.earlier)
        stack.pop_all()
    return Plan(config, source, work.volume, work, sampler, limit, memory, layout, told, standing)


def plan_part(
    config: RunConfig,
    header: Mapping[str, Any],
    measurements: Mapping[Group, Mapping[str, Any]],
    threads: int | None,
) -> Round:
    """The items of a run that another process holds the session of, to be done here. Close its denoiser.

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
    opened = _open(config, source)
    with ExitStack() as stack:
        denoiser, sampler = load(config, threads)
        stack.callback(denoiser.close)
        work = _work(config, opened, denoiser, sampler)
        told = _fingerprint(config, source, opened, work)
        if header["fingerprint"] != told:
            what = differences(header["fingerprint"], told, "but here")
            raise ConfigError(
                f"would not make the same pixels: {what}; install the same versions and models everywhere"
            )
        work.recipes.add(measurements)
        layout = Layout(**header["layout"])
        stack.pop_all()
    return Round(work, opened.written, layout, plan_items(opened.written, layout))


def load(config: RunConfig, threads: int | None) -> tuple[Denoiser, Sampler]:
    """Load the model, and make the sampler as asked for.

    Args:
        config: the options of the run.
        threads: CPU threads of an evaluation; None: all cores.

    Raises:
        ModelError: the model cannot be used.
        EngineError: the engine cannot be used.
        ConfigError: options that do not go with the model or the sampler.
    """
    denoiser = Denoiser.load(
        config.model,
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
    return denoiser, sampler


@dataclass(frozen=True)
class _Opened:
    """The part of input and guide that was chosen, and the channels that are denoised."""

    volume: SelectedVolume
    guide: SelectedVolume | None
    channels: Collection[int]
    written: VolumeInfo


def _open(config: RunConfig, source: Input) -> _Opened:
    whole = source.open()
    channels = None if config.channels is None else find_channels(whole.info, config.channels)
    kept = channels if config.other_channels == "drop" else None
    volume = select(whole, config.spans, kept)
    guide = None if config.guide is None else open_input(config.guide)
    written = replace(volume.info, dtype=np.dtype(config.dtype or volume.info.dtype))
    _check_paths(config, volume, guide, written)
    own = None if guide is None else select_alike(guide, volume)
    denoised = range(volume.info.num_channels) if channels is None or kept else channels
    return _Opened(volume, own, denoised, written)


def _check_paths(
    config: RunConfig, volume: SelectedVolume, guide: Volume | None, written: VolumeInfo
) -> None:
    sources: list[Source] = [config.input, *files_of(volume)]
    if guide is not None:
        sources += [guide.info.path, *files_of(guide)]
    check_places(config, sources)
    check_formats(config, written)
    shape = volume.whole.info.shape
    if guide is not None and guide.info.shape != shape:
        raise VolumeError(
            f"{config.guide}: a guide of shape {guide.info.shape}; it must have the input's, {shape}"
        )


def _look(config: RunConfig, only_plan: bool) -> Standing:
    """Standing that can be known of the outputs before the run has a fingerprint."""
    try:
        check_session(config)
    except VolumeError as error:
        if not only_plan:
            raise
        return Standing(refused=error)
    return Standing()


def _settle(
    config: RunConfig, source: Input, seen: Standing, told: Mapping[str, Any], only_plan: bool
) -> Standing:
    """Standing of a run with a fingerprint: it is continued, was finished before, or begins."""
    if seen.refused is not None:
        return seen
    if _is_finished(config, source, told):
        return Standing(finished=True)
    try:
        return Standing(check_session(config, told))
    except VolumeError as error:
        if not only_plan:
            raise
        return Standing(refused=error)


def _is_finished(config: RunConfig, source: Input, told: Mapping[str, Any]) -> bool:
    return finished_before(config, told) and source.holds_no_more_than(open_input(config.target).info)


def _work(config: RunConfig, opened: _Opened, denoiser: Denoiser, sampler: Sampler) -> Work:
    if opened.guide is not None and not sampler.TAKES_GUIDE:
        raise ConfigError(
            f"--guide {config.guide}: sampler {config.sampler} takes none; add --sampler "
            "forward-backward, mixing or repaint"
        )
    if config.uncertainty is not None:
        check_std(sampler, f"--uncertainty {config.uncertainty}")
    by_time = config.normalise == "per-timepoint" and opened.written.has_time
    recipes = Recipes(
        opened.volume, denoiser, sampler, config.seed, opened.channels, by_time, config.on_error
    )
    std, suspect = config.uncertainty is not None, config.mask is not None
    wanted = Wanted(opened.written.dtype, std, suspect, config.defects)
    return Work(recipes, opened.guide, wanted, config.shared_axes, config.on_error)


def _fingerprint(config: RunConfig, source: Input, opened: _Opened, work: Work) -> dict[str, Any]:
    told = fingerprint(config, opened.guide, work.recipes)
    contents = source.contents(opened.volume)
    return told if contents is None else told | {"contents of the input": contents}


def _known(config: RunConfig, standing: Standing) -> Mapping[Group, Mapping[str, Any]]:
    """Measurements of an earlier run."""
    if standing.finished:
        mark = Mark.at(config.target)
        return {} if mark is None else measurements_of(mark.provenance)
    return {} if standing.earlier is None else standing.earlier.measurements


def _measured(source: Input, opened: _Opened, work: Work, standing: Standing) -> Work:
    """The work on all that is there, with what is known of every channel."""
    source.continue_at(None if standing.earlier is None else standing.earlier.ended)
    early = replace(work.recipes, volume=source.beginning(opened.volume))
    for channel in early.channels:
        early.first(channel)
    # What is known is shared by all that are made of these recipes.
    return replace(work, recipes=replace(work.recipes, volume=source.now(opened.volume)))


def _memory(config: RunConfig, source: Input, opened: _Opened, work: Work) -> MemoryModel:
    """Model of the run's memory; an engine takes most of its own when it is first called."""
    predictor, info = work.recipes.denoiser.predictor, opened.volume.info
    predictor.evaluate_once(info.plane_shape)
    return MemoryModel(
        resident_bytes() or 0,
        source.for_layout(replace(opened.written, chunk=opened.volume.whole.info.chunk)),
        info.dtype.itemsize,
        predictor.plan(info.plane_shape),
        max((recipe.sampler.halo for recipe in work.recipes.known.values()), default=0),
        config.batch,
        opened.guide is not None,
        (4 if config.uncertainty else 0) + (1 if config.mask else 0),
        config.uncertainty is not None,
    )


def _layout(memory: MemoryModel, limit: int | None, earlier: Journal | None) -> Layout:
    if earlier is None:
        return memory.choose(limit)
    layout = Layout(**earlier.header["layout"])
    memory.check(layout, limit)
    return layout
