"""A run that is decided, and the rounds in which it is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from baikal_deploy.measurement.gate import Fuse
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig, Unfused
from baikal_deploy.run.inputs import Input
from baikal_deploy.run.items import Work
from baikal_deploy.run.memory import MemoryModel
from baikal_deploy.run.models.asked import Asked
from baikal_deploy.run.models.loaded import Loaded, Models
from baikal_deploy.run.provenance import provenance
from baikal_deploy.run.resume.fingerprint import digest
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.resume.kept import Kept
from baikal_deploy.run.standing import Standing
from baikal_deploy.volumes.base import VolumeInfo, WorkItem
from baikal_deploy.volumes.layout import Layout, plan_items
from baikal_deploy.volumes.selection import SelectedVolume


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
    def unfused(self) -> Round:
        """The same planes, each by itself; see ``Work.unfused``."""
        work = self.work.unfused
        written = replace(self.written, dtype=np.dtype(work.wanted.dtype))
        return replace(self, work=work, written=written)

    @property
    def evaluations(self) -> int:
        """Network evaluations of planes (of regions, where they are cut), as far as is known."""
        return sum(map(self._evaluations, self.work.recipes.channels))

    def _evaluations(self, channel: int) -> int:
        return self.work.recipes.evaluations(channel) * self.work.each(channel) * self.regions_per_plane

    def evaluations_in(self, journal: Journal | None) -> int:
        """Those of an unfinished run's evaluations whose planes are finished, and kept on disk.

        Args:
            journal: of that run; None: there is none.
        """
        if journal is None:
            return 0
        kept = Kept.of_run(journal.path, journal.run)
        begun = {index: kept.of(index).planes for index in kept.indices - set(journal.done)}
        return sum(
            self.work.evaluations(self.items[index], begun.get(index))
            for index in {*journal.done, *begun}
            if index < len(self.items)
        )

    def has_steps_in(self, journal: Journal | None) -> bool:
        """True if an unfinished run has kept a part of the evaluations of planes that are not finished.

        Args:
            journal: of that run; None: there is none.
        """
        if journal is None:
            return False
        kept = Kept.of_run(journal.path, journal.run)
        return bool(kept.indices_of_steps - set(journal.done))

    def estimate_seconds(self) -> float:
        """Expected seconds of the network evaluations, from a timed call of each model with one window.

        Raises:
            EngineError: the network failed.
        """
        models = self.work.recipes.models
        seconds = {id(own): self._seconds(own) for own in models.used}
        return sum(
            seconds[id(models.of(channel))] * self._evaluations(channel)
            for channel in self.work.recipes.channels
        )

    def _seconds(self, own: Loaded) -> float:
        """Seconds of one evaluation of a plane, or of a region of one."""
        predictor, regions = own.denoiser.predictor, self.regions_per_plane
        started = time.perf_counter()
        predictor.evaluate_once(self.written.plane_shape)
        seconds = (time.perf_counter() - started) / predictor.batch
        return seconds * sum(self.work.windows(item, predictor) for item in self.items[:regions]) / regions


@dataclass(frozen=True)
class Half:
    """The first half of a run that fuses: a run of its own, into an image that is removed in the end.

    Attributes:
        config: of this half.
        fingerprint: of everything that decides what it writes.
        standing: what is where it is to write.
    """

    config: Unfused
    fingerprint: dict[str, Any]
    standing: Standing

    @property
    def fuse(self) -> Fuse:
        """Axes along which the results are then fused."""
        assert self.config.fuse is not None
        return self.config.fuse


@dataclass(frozen=True)
class Plan:
    """A run that is decided: everything is checked and measured, nothing is written.

    Attributes:
        config: what was asked for, with the name of the output.
        input: what is read.
        chosen: what is denoised of it, as far as it was there.
        skipped: numbers of the channels that are left as they are, as ``RunConfig.model`` says.
        work: how the items are done, with the loaded models and the recipes of all planes.
        limit: bytes of memory that a process may take.
        memory: what it takes.
        layout: how the output is cut into items.
        fingerprint: of everything that decides what is written.
        standing: what is where it is to write.
        half: the first half of a run that fuses; None for one that does not.
        growing: axis along which results are fused with those before them alone; "" if there is none.
        why: why the output is an OME-Zarr, where a file would become a TIFF; empty where nobody need ask.
        omero: names, colours and display ranges of the output's channels; see ``VolumeInfo``.
    """

    config: RunConfig
    input: Input
    chosen: SelectedVolume
    skipped: Sequence[int]
    work: Work
    limit: int
    memory: MemoryModel
    layout: Layout
    fingerprint: dict[str, Any]
    standing: Standing
    why: str
    omero: dict[str, Any] | None
    half: Half | None = None
    growing: str = ""

    @property
    def denoising(self) -> Standing:
        """State of the images that denoised planes go into."""
        return self.standing if self.half is None else self.half.standing

    @property
    def models(self) -> Models:
        """The loaded models."""
        return self.work.recipes.models

    def round(self, volume: SelectedVolume) -> Round:
        """The round that denoises a part of what was chosen.

        Args:
            volume: the part.
        """
        dtype = np.dtype(self.config.dtype or volume.info.dtype)
        written = replace(volume.info, dtype=dtype, omero=self.omero)
        work = replace(self.work, recipes=replace(self.work.recipes, volume=volume))
        return Round(work, written, self.layout, plan_items(written, self.layout))

    def next_round(self, done: int) -> Round:
        """The round that follows, for which one that grows is waited for; see ``Input.next_round``.

        Args:
            done: steps of the first axis that are done.

        Raises:
            VolumeError: the input has become another one, or cannot be read any more.
        """
        return self.round(self.input.next_round(self.chosen, self.layout, done))

    def notes(self) -> list[str]:
        """Remarks on how input and models were taken, in sentences."""
        names = [self.chosen.info.channel_name(channel) for channel in self.skipped]
        skipped = [f"channels left as they are, not denoised (--model): {', '.join(names)}"] if names else []
        models = Asked.of(self.config.model).remarks
        return [*self.chosen.info.remarks, *models, *skipped, *self.input.notes()]

    def provenance(self, now: Round, tally: Tally, notes: Sequence[str]) -> dict[str, Any]:
        """Provenance of the output; see ``provenance.provenance``.

        Args:
            now: the last round.
            tally: of all planes.
            notes: on the output, in sentences.
        """
        made = provenance(self.config, now.work.recipes, digest(self.fingerprint), tally, notes)
        return made | self.input.record(now.written)

    def close(self) -> None:
        """Free the models."""
        self.models.close()
