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
from baikal_deploy.intensity import Raw
from baikal_deploy.maps import PROBES, Maps
from baikal_deploy.outputs import check_formats, check_places
from baikal_deploy.pixel_types import converted
from baikal_deploy.provenance import differences, fingerprint, provenance
from baikal_deploy.recipes import Group, Recipes
from baikal_deploy.samplers import make_sampler, sampler_class
from baikal_deploy.session import Session, check_session, open_session, unfinished
from baikal_deploy.tally import Tally
from baikal_deploy.volumes.base import Volume, WorkItem
from baikal_deploy.volumes.channels import find_channels
from baikal_deploy.volumes.inputs import files_of, is_tiff, labels_of, open_input
from baikal_deploy.volumes.layout import plan_items, planes_per_shard
from baikal_deploy.volumes.selection import select, select_alike
from baikal_deploy.volumes.urls import Source
from baikal_deploy.workers import ThisProcess, Workers

Progress = Callable[[int, int], None]
"""(network evaluations of planes done, all of them) -> None."""
Found = tuple[Raw, Raw | None]
"""What is read for an item: its planes, and its guides."""


@dataclass(frozen=True)
class PartOf:
    """The run of another process, which holds its session, to do items of here.

    Attributes:
        fingerprint: of that run.
        measurements: what is known there already, as ``Measurement.record`` has it.
    """

    fingerprint: Mapping[str, Any]
    measurements: Mapping[Group, Mapping[str, Any]]


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
        fingerprint: of everything that decides what is written.
        earlier: the journal of the unfinished run that this one goes on with; None if there is none.
    """

    def __init__(
        self, config: RunConfig, *, part_of: PartOf | None = None, threads: int | None = None
    ) -> None:
        """Plan a run.

        Args:
            part_of: a run to do items of; this one is not executed.
            threads: CPU threads of an evaluation; None: all cores.

        Raises:
            ConfigError, VolumeError, ModelError, EngineError: the run cannot be done as asked.
        """
        self.config = config
        with ExitStack() as stack:
            sampler_class(config.sampler)
            channels = self._open()
            earlier = unfinished(config) if part_of is None else None
            if earlier is None and part_of is None:
                check_session(config, None, {})  # before anything that takes long
            self.denoiser = stack.enter_context(
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
            recommended = self.denoiser.recommended(config.sampler)
            self.sampler = make_sampler(config.sampler, config.options, recommended)
            self._check_sampler()
            by_time = config.normalise == "per-timepoint" and "t" in [axis.name for axis in self.written.axes]
            self.recipes = Recipes(
                self.volume, self.denoiser, self.sampler, config.seed, channels, by_time=by_time
            )
            self.fingerprint = fingerprint(config, self.guide, self.recipes)
            self.earlier = None
            if part_of is not None:
                self._check_same(part_of.fingerprint)
                self.recipes.add(part_of.measurements)
            elif check_session(config, earlier, self.fingerprint) and earlier is not None:
                self.earlier = earlier
                self.recipes.add(earlier.measurements)
            for channel in self.recipes.channels:
                self.recipes.first(channel)
            stack.pop_all()

    def _open(self) -> Collection[int]:
        """Open what is read; the channels that are denoised."""
        config = self.config
        whole = open_input(config.input, config.series)
        channels = None if config.channels is None else find_channels(whole.info, config.channels)
        kept = channels if config.other_channels == "drop" else None
        self.volume = select(whole, config.spans, kept)
        guide = None if config.guide is None else open_input(config.guide)
        self.written = replace(self.volume.info, dtype=np.dtype(config.dtype or self.volume.info.dtype))
        self._check_paths(guide)
        self.guide = None if guide is None else select_alike(guide, self.volume)
        return range(self.volume.info.num_channels) if channels is None or kept else channels

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
        self.denoiser.check(self.sampler)
        if self.guide is not None and not self.sampler.TAKES_GUIDE:
            raise ConfigError(
                f"--guide {config.guide}: sampler {config.sampler} takes none; add --sampler "
                "forward-backward, mixing or repaint"
            )
        if config.uncertainty is not None:
            check_std(self.sampler, f"--uncertainty {config.uncertainty}")

    @property
    def evaluations(self) -> int:
        """Network evaluations of planes, all together, as far as is known."""
        return self.recipes.evaluations * self._times_per_plane

    @property
    def evaluations_done(self) -> int:
        """Those of them that an unfinished run, which this one goes on with, has done."""
        items = plan_items(self.written, planes_per_shard(self.written))
        done = [] if self.earlier is None else self.earlier.done
        return sum(self.evaluations_of(items[index]) for index in done)

    @property
    def _times_per_plane(self) -> int:
        return 1 + (0 if self.config.uncertainty is None or self.sampler.draws else PROBES)

    def evaluations_of(self, item: WorkItem) -> int:
        """Those of an item, as far as is known."""
        return self.recipes.evaluations_of(item.planes) * self._times_per_plane

    @property
    def windows_per_plane(self) -> int:
        return len(self.denoiser.predictor.plan(self.volume.info.plane_shape).windows)

    @property
    def output_bytes(self) -> int:
        """Size of the output before compression; that of an OME-Zarr with its pyramid."""
        size = math.prod(self.written.shape) * self.written.dtype.itemsize
        return size if is_tiff(self.config.target) else size * 4 // 3

    def estimate_seconds(self) -> float:
        """Expected time of the network evaluations, from two timed calls with one window."""
        plan = self.denoiser.predictor.plan(self.volume.info.plane_shape)
        engine = self.denoiser.predictor.engine
        shape = self.config.batch, 1, plan.y.window, plan.x.window
        window = engine.upload(np.zeros(shape, dtype=np.float32))
        engine.download(engine.predict(window, 0)[0])  # the first call of a shape is slower
        started = time.perf_counter()
        engine.download(engine.predict(window, 0)[0])  # a device may still be computing until then
        seconds = (time.perf_counter() - started) / self.config.batch
        return seconds * len(plan.windows) * self.evaluations

    def execute(self, progress: Progress | None = None, workers: Workers | None = None) -> RunReport:
        """Denoise and write; what an unfinished run of the same kind has left is not done again.

        Args:
            workers: who does it; None: this process.

        Raises:
            VolumeError, EngineError: reading, writing or the network failed, or another run writes these
                outputs; the same run again goes on from what was finished before, or starts anew if a
                TIFF is among them.
            BaikalError: the workers cannot do it.
        """
        workers = workers or ThisProcess()
        workers.prepare(self.config)
        started = time.perf_counter()
        with open_session(self.config, self.written, self.fingerprint) as session:
            session.measured(self.recipes.measurements)
            done = sum(self.evaluations_of(item) for item in session.done)
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
            session.finish(self.provenance(notes))
        return RunReport(self.config.target, time.perf_counter() - started, computed, tally, notes)

    def _copy_labels(self, session: Session) -> list[str]:
        """Give the outputs the input's labels; what to know of it."""
        labels = labels_of(self.volume.whole)
        if labels is None:
            return []
        if self.volume.is_cut:
            return ["label images belong to the whole image and were left out of a part of it"]
        return session.copy_labels(labels)

    def read(self, item: WorkItem) -> Found:
        """Raises VolumeError: pixels that cannot be read."""
        return self.volume.read(item.planes), None if self.guide is None else self.guide.read(item.planes)

    def denoise(
        self, item: WorkItem, found: Found, maps: Maps, progress: Callable[[int], None]
    ) -> tuple[Raw, Tally]:
        """Denoise what ``read`` gave, and fill in the maps.

        Raises:
            VolumeError, EngineError: a time point cannot be measured, or the network failed.
        """
        planes, guides = found
        result, tally = np.empty(planes.shape, self.written.dtype), Tally()
        for group, part in self.recipes.parts(item.planes):
            own = slice(part.start - item.planes.start, part.stop - item.planes.start)
            if group is None:
                result[own], changed = converted(planes[own], result.dtype)
            else:
                result[own], changed = self.denoiser.run(
                    self.recipes.of(group),
                    planes[own],
                    self.volume.planes_of_whole(part),
                    None if guides is None else guides[own],
                    progress,
                    maps.part(own),
                    origin=self.volume.origin,
                    dtype=result.dtype,
                    fields=self.volume.planes_of_whole(part, self.config.shared_axes),
                )
            tally += changed
        return result, tally

    def provenance(self, notes: Sequence[str]) -> dict[str, Any]:
        """What made the output; see ``provenance.provenance``."""
        return provenance(self.config, self.recipes, notes)

    def close(self) -> None:
        self.denoiser.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
