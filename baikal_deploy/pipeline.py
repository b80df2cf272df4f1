"""A whole run: plan, read, denoise, write."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from baikal_deploy.config import RunConfig
from baikal_deploy.denoiser import Denoiser, check_std
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.machine import free_bytes, resident_bytes
from baikal_deploy.memory import MemoryModel, memory_limit
from baikal_deploy.outputs import check_formats, check_places
from baikal_deploy.provenance import differences, fingerprint, provenance
from baikal_deploy.recipes import Group, Recipes
from baikal_deploy.samplers import make_sampler, sampler_class
from baikal_deploy.samplers.base import Sampler
from baikal_deploy.session import Session, check_session, open_session
from baikal_deploy.tally import Tally
from baikal_deploy.unfinished import unfinished
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.channels import find_channels
from baikal_deploy.volumes.inputs import files_of, is_tiff, labels_of, open_input
from baikal_deploy.volumes.layout import Layout, plan_items
from baikal_deploy.volumes.selection import select, select_alike
from baikal_deploy.volumes.urls import Source
from baikal_deploy.work import Work
from baikal_deploy.workers import ThisProcess, Workers

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


@dataclass(frozen=True)
class RunReport:
    """What a finished run did.

    Attributes:
        output: the written image.
        seconds: wall time of denoising and writing, without planning.
        evaluations: network evaluations of planes in that time; those of an earlier run do not count.
        tally: what to know about the pixels.
        notes: what to know about the output, in sentences.
    """

    output: Path
    seconds: float
    evaluations: int
    tally: Tally
    notes: list[str]

    @property
    def per_second(self) -> float:
        """Network evaluations of planes per second."""
        return self.evaluations / self.seconds


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
        earlier: the journal of the unfinished run that this one goes on with; None if there is none.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        part_of: PartOf | None = None,
        threads: int | None = None,
        processes: int = 1,
    ) -> None:
        """Plan a run.

        Args:
            part_of: a run to do items of; this one is not executed.
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
            earlier = unfinished(config) if part_of is None else None
            if earlier is None and part_of is None:
                check_session(config, None, {})  # before anything that takes long
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
            self.earlier = None
            if part_of is not None:
                self._check_same(part_of.fingerprint)
                self.recipes.add(part_of.measurements)
            elif check_session(config, earlier, self.fingerprint) and earlier is not None:
                self.earlier = earlier
                self.recipes.add(earlier.measurements)
            self._measure()
            self.work = Work(
                self.recipes,
                self.guide,
                self.written.dtype,
                config.shared_axes,
                wants_std=config.uncertainty is not None,
                on_error=config.on_error,
            )
            self.memory = self._memory()
            self.layout = self._layout(part_of)
            self.items = plan_items(self.written, self.layout)
            stack.pop_all()

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
            max(recipe.sampler.halo for recipe in self.recipes.known.values()),
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
        return sum(map(self.work.evaluations, self.items))

    @property
    def evaluations_done(self) -> int:
        """Those of them that an unfinished run, which this one goes on with, has done."""
        done = () if self.earlier is None else self.earlier.done
        return sum(self.work.evaluations(item) for item in self.items if item.index in done)

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
        return seconds * sum(self.work.evaluations(item) * self.work.windows(item) for item in self.items)

    def execute(self, progress: Progress | None = None, workers: Workers | None = None) -> RunReport:
        """Denoise and write; what an unfinished run of the same kind has left is not done again.

        Args:
            workers: who does it; None: this process.

        Raises:
            VolumeError, EngineError: reading, writing or the network failed, or another run writes these
                outputs; the same run again goes on from what was finished before, or starts anew if a
                TIFF is among them. The run is closed.
            BaikalError: the workers cannot do it.
        """
        self.denoiser.check_open()
        workers = workers or ThisProcess()
        workers.prepare(self.config)
        started = time.perf_counter()
        with open_session(self.config, self.written, self.fingerprint, self.layout) as session:
            session.measured(self.recipes.measurements)
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
            workers.work(self, session, advance)
            tally = session.tally
            notes = [*tally.notes(), *self._copy_labels(session)]
            session.finish(self.provenance(tally, notes))
        return RunReport(self.config.target, time.perf_counter() - started, computed, tally, notes)

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
        return provenance(self.config, self.recipes, tally, notes)

    def close(self) -> None:
        self.denoiser.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
