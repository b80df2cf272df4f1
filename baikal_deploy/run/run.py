"""A whole run: plan, read, denoise, write."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from baikal_deploy.denoising.checks import check_std
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Wanted
from baikal_deploy.diffusion.samplers import make_sampler, sampler_class
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.host.machine import free_bytes, resident_bytes
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.items import Work
from baikal_deploy.run.memory import MemoryModel, memory_limit
from baikal_deploy.run.outputs import check_formats, check_places
from baikal_deploy.run.provenance import measurements_of, provenance
from baikal_deploy.run.recipes import Group, Recipes
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.resume.fingerprint import differences, digest, fingerprint
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.resume.kept import Kept
from baikal_deploy.run.resume.session import Session, check_session, finished_before, open_session
from baikal_deploy.run.resume.unfinished import load_unfinished, unfinished
from baikal_deploy.run.workers import ThisProcess, Workers
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.channels import find_channels
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.formats import is_tiff
from baikal_deploy.volumes.layout import Layout, plan_items
from baikal_deploy.volumes.open import files_of, labels_of, open_input
from baikal_deploy.volumes.selection import select, select_alike
from baikal_deploy.volumes.urls import Source

Progress = Callable[[int, int], None]
"""(network evaluations of planes done, all of them) -> None."""


@dataclass(frozen=True)
class PartOf:
    """The run of another process, which holds its session, to do items of here.

    Attributes:
        fingerprint: of that run.
        measurements: what is known there already, as ``Measurement.record`` has it.
        layout: how its output is cut into items, as ``Layout.record`` has it.
    """

    fingerprint: Mapping[str, Any]
    measurements: Mapping[Group, Mapping[str, Any]]
    layout: Mapping[str, Any]


class Run:
    """A run that has been planned: everything is checked and measured, nothing is written.

    Close it, or use it as a context manager.

    Attributes:
        config: what was asked for.
        volume, guide: what is denoised of the opened input and guide.
        written: what the output is.
        denoiser: the loaded model.
        sampler: as asked for; each recipe holds it with nothing left automatic.
        recipes: of all planes.
        work: how the items are done.
        limit: bytes of memory that a process may take; None where none was set and what is free is unknown.
        memory: what it takes.
        layout: how the output is cut into items.
        items: all of them.
        fingerprint: of everything that decides what is written.
        earlier: the journal of the unfinished run that this one continues; None if there is none.
        finished: whether an earlier run of the same kind has finished all outputs.
        refused: why it may not be executed, if it was only to be planned.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        part_of: PartOf | None = None,
        threads: int | None = None,
        processes: int = 1,
        only_plan: bool = False,
    ) -> None:
        """Plan a run.

        Args:
            part_of: a run to do items of; this one is not executed.
            only_plan: outputs that are there already are no error until it is executed.
            threads: CPU threads of an evaluation; None: all cores.
            processes: of this machine that share its free memory: those that do the items.

        Raises:
            ConfigError, VolumeError, ModelError, EngineError: the run cannot be done as asked.
        """
        self.config = config
        with ExitStack() as stack:
            sampler_class(config.sampler)
            free = free_bytes()
            self.limit = memory_limit(config.memory, None if free is None else free // processes)
            channels = self._open()
            self.refused: VolumeError | None = None
            earlier = None
            if part_of is None:
                with self._refusing(only_plan):  # before anything that takes long
                    earlier = unfinished(config)
                    if earlier is None and not finished_before(config):
                        check_session(config, None, {})
            self.denoiser, self.sampler = self._load(stack, threads)
            self._check_sampler()
            self.recipes = Recipes(
                self.volume,
                self.denoiser,
                self.sampler,
                config.seed,
                channels,
                by_time=config.normalise == "per-timepoint" and self.written.has_time,
                on_error=config.on_error,
            )
            self.fingerprint = self._fingerprint()
            self.earlier, self.finished = None, False
            if part_of is not None:
                self._check_same(part_of.fingerprint)
                self.recipes.add(part_of.measurements)
            elif earlier is None and self._is_finished():
                self.finished = True
                self.recipes.add(measurements_of(self._written_before))
            else:
                with self._refusing(only_plan or self.refused is not None):
                    if check_session(config, earlier, self.fingerprint) and earlier is not None:
                        self.earlier = earlier
                        self.recipes.add(earlier.measurements)
            self._measure()
            self.work = Work(
                self.recipes,
                self.guide,
                Wanted(self.written.dtype, config.uncertainty is not None, config.mask is not None),
                config.shared_axes,
                on_error=config.on_error,
            )
            self.memory = self._memory()
            self.layout = self._layout(part_of)
            self.items = plan_items(self.written, self.layout)
            stack.pop_all()

    @contextmanager
    def _refusing(self, only_plan: bool) -> Iterator[None]:
        """Raise what stands in the way of writing, or note it if this is only a plan."""
        try:
            yield
        except VolumeError as error:
            if not only_plan:
                raise
            self.refused = self.refused or error

    def _is_finished(self) -> bool:
        return finished_before(self.config, self.fingerprint)

    @property
    def _written_before(self) -> Mapping[str, Any]:
        """The provenance of the finished output."""
        mark = Mark.at(self.config.target)
        return {} if mark is None else mark.provenance

    def _load(self, stack: ExitStack, threads: int | None) -> tuple[Denoiser, Sampler]:
        """The model, which the stack closes, and the sampler as asked for."""
        config = self.config
        denoiser = stack.enter_context(
            Denoiser.load(
                config.model,
                config.engine,
                precision=config.precision,
                threads=threads,
                tile=config.tile,
                overlap=config.overlap,
                batch=config.batch,
            )
        )
        sampler = make_sampler(config.sampler, config.options, denoiser.recommended(config.sampler))
        denoiser.check(sampler)
        return denoiser, sampler

    def _open(self) -> Collection[int]:
        """Open what is read; the channels that are denoised."""
        config = self.config
        whole = self._open_whole()
        channels = None if config.channels is None else find_channels(whole.info, config.channels)
        kept = channels if config.other_channels == "drop" else None
        self.volume = select(whole, config.spans, kept)
        guide = None if config.guide is None else open_input(config.guide)
        self.written = replace(self.volume.info, dtype=np.dtype(config.dtype or self.volume.info.dtype))
        self._check_paths(guide)
        self.guide = None if guide is None else select_alike(guide, self.volume)
        return range(self.volume.info.num_channels) if channels is None or kept else channels

    def _open_whole(self) -> Volume:
        return open_input(self.config.input, self.config.series)

    def _fingerprint(self) -> dict[str, Any]:
        return fingerprint(self.config, self.guide, self.recipes)

    def _measure(self) -> None:
        for channel in self.recipes.channels:
            self.recipes.first(channel)

    def _check_same(self, other: Mapping[str, Any]) -> None:
        """Refuse to do items in another way than the rest of their run."""
        if other != self.fingerprint:
            what = differences(other, self.fingerprint, "but here")
            raise ConfigError(
                f"would not make the same pixels: {what}; install the same versions and models everywhere"
            )

    def _check_paths(self, guide: Volume | None) -> None:
        shape = self.volume.whole.info.shape
        sources: list[Source] = [self.config.input, *files_of(self.volume)]
        if guide is not None:
            sources += [guide.info.path, *files_of(guide)]
        check_places(self.config, sources)
        check_formats(self.config, self.written)
        if guide is not None and guide.info.shape != shape:
            raise VolumeError(
                f"{self.config.guide}: a guide of shape {guide.info.shape}; it must have the input's, {shape}"
            )

    def _check_sampler(self) -> None:
        config = self.config
        if self.guide is not None and not self.sampler.TAKES_GUIDE:
            raise ConfigError(
                f"--guide {config.guide}: sampler {config.sampler} takes none; add --sampler "
                "forward-backward, mixing or repaint"
            )
        if config.uncertainty is not None:
            check_std(self.sampler, f"--uncertainty {config.uncertainty}")

    def _memory(self) -> MemoryModel:
        """What the run takes; an engine takes most of its memory when it is first called."""
        config, predictor, shape = self.config, self.denoiser.predictor, self.volume.info.plane_shape
        predictor.evaluate_once(shape)
        return MemoryModel(
            resident_bytes() or 0,
            replace(self.written, chunk=self.volume.whole.info.chunk),
            self.volume.info.dtype.itemsize,
            predictor.plan(shape),
            max((recipe.sampler.halo for recipe in self.recipes.known.values()), default=0),
            config.batch,
            self.guide is not None,
            (4 if config.uncertainty else 0) + (1 if config.mask else 0),
            config.uncertainty is not None,
        )

    def _layout(self, part_of: PartOf | None) -> Layout:
        if part_of is not None:
            return Layout(**part_of.layout)
        if self.earlier is None:
            return self.memory.choose(self.limit)
        layout = Layout(**self.earlier.header["layout"])
        self.memory.check(layout, self.limit)
        return layout

    @property
    def evaluations(self) -> int:
        """Network evaluations of planes (of regions, where they are cut), as far as is known."""
        return self.recipes.evaluations * self.work.each * self.regions_per_plane

    @property
    def regions_per_plane(self) -> int:
        """Regions that a plane is cut into; 1 where it stays whole."""
        return 1 if self.layout.edge is None else len(self.items) // self.volume.info.num_planes

    @property
    def evaluations_done(self) -> int:
        """Those of them that an unfinished run, which this one continues, has done."""
        return self._evaluations_in(self.earlier)

    @property
    def evaluations_kept(self) -> int:
        """Those of them that are on disk now, when this run was interrupted."""
        return self._evaluations_in(load_unfinished(self.config))

    def _evaluations_in(self, journal: Journal | None) -> int:
        if journal is None:
            return 0
        kept = Kept.of_run(journal.path, journal.run)
        begun = {index: kept.of(index).planes for index in kept.indices - set(journal.done)}
        return sum(
            self.work.evaluations(self.items[index], begun.get(index))
            for index in {*journal.done, *begun}
            if index < len(self.items)
        )

    @property
    def windows_per_plane(self) -> int:
        return len(self.denoiser.predictor.plan(self.volume.info.plane_shape).windows)

    @property
    def output_bytes(self) -> int:
        """Size of the output before compression; that of an OME-Zarr with its pyramid."""
        size = math.prod(self.written.shape) * self.written.dtype.itemsize
        return size if is_tiff(self.config.target) else size * 4 // 3

    def estimate_seconds(self) -> float:
        """Expected time of the network evaluations, from a timed call with one window.

        Raises:
            EngineError: the run is closed, or the network failed.
        """
        self.denoiser.check_open()
        started = time.perf_counter()
        self.denoiser.predictor.evaluate_once(self.volume.info.plane_shape)
        seconds = (time.perf_counter() - started) / self.config.batch
        regions = self.regions_per_plane
        windows = sum(map(self.work.windows, self.items[:regions])) / regions
        return seconds * windows * self.evaluations

    def execute(self, progress: Progress | None = None, workers: Workers | None = None) -> RunReport:
        """Denoise and write; what an unfinished run of the same kind has left is not done again.

        Args:
            workers: who does it; None: this process.

        Raises:
            VolumeError, EngineError: reading, writing or the network failed, or another run writes these
                outputs; the same run again continues from what was finished before. The run is closed.
            BaikalError: the workers cannot do it.
        """
        self.denoiser.check_open()
        if self.refused is not None:
            raise self.refused
        if self.finished:
            return self._report_before()
        workers = workers or ThisProcess()
        workers.prepare(self.config)
        started = time.perf_counter()
        with open_session(self.config, self.written, self.fingerprint, self.layout) as session:
            for group, measurement in self.recipes.measurements.items():
                session.measured(group, measurement)
            done = sum(map(self.work.evaluations, session.done))
            computed, known, total = 0, len(self.recipes.known), self.evaluations

            def advance(planes: int, evaluated: int) -> None:
                nonlocal done, computed, known, total
                if known != len(self.recipes.known):
                    known, total = len(self.recipes.known), self.evaluations
                done += planes
                computed += evaluated
                if progress is not None:
                    progress(done, total)

            advance(0, 0)
            workers.work(self.work, session, advance)
            tally = session.tally
            notes = [*tally.notes(), *self._copy_labels(session)]
            session.finish(self.provenance(tally, notes))
        return RunReport(self.config.target, time.perf_counter() - started, computed, tally, notes)

    def _report_before(self) -> RunReport:
        """What the run that has finished the output did."""
        made = self._written_before
        tally = Tally.from_record(made.get("counts", {}))
        return RunReport(self.config.target, 0.0, 0, tally, list(made.get("notes", ())), before=True)

    def _copy_labels(self, session: Session) -> list[str]:
        """Give the outputs the input's labels; what to know of it."""
        labels = labels_of(self.volume.whole)
        if labels is None:
            return []
        if self.volume.is_cut:
            return ["label images belong to the whole image and were left out of a part of it"]
        return session.copy_labels(labels)

    def provenance(self, tally: Tally, notes: Sequence[str]) -> dict[str, Any]:
        """What made the output; see ``provenance.provenance``."""
        return provenance(self.config, self.recipes, digest(self.fingerprint), tally, notes)

    def close(self) -> None:
        self.denoiser.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
