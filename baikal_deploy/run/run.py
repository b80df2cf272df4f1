"""A run: planned, executed round by round, reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.execution import Execution, Progress
from baikal_deploy.run.fused_again import evaluations_again
from baikal_deploy.run.inputs import Input
from baikal_deploy.run.items import Work
from baikal_deploy.run.models.loaded import Models
from baikal_deploy.run.plan import Round
from baikal_deploy.run.planner import plan
from baikal_deploy.run.recipes import Recipes
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.resume.journal import Journal
from baikal_deploy.run.resume.session import finished_before, remove_outputs
from baikal_deploy.run.resume.unfinished import load_unfinished
from baikal_deploy.run.workers import ThisProcess, Workers
from baikal_deploy.volumes.base import VolumeInfo, WorkItem
from baikal_deploy.volumes.create import format_of
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.selection import SelectedVolume


class Run:
    """A plan that can be executed: everything is checked and measured, nothing is written.

    Close it, or use it as a context manager.

    Attributes:
        plan: all that is decided.
        round: what is denoised of the input now: all of it, if it is whole.
    """

    def __init__(
        self,
        config: RunConfig,
        source: Input | None = None,
        *,
        threads: int | None = None,
        processes: int = 1,
        shared: bool = False,
        only_plan: bool = False,
    ) -> None:
        """Plan a run.

        Args:
            config: the options of the run.
            source: what is read; None: the config's input, which is whole.
            threads: CPU threads of an evaluation; None: all cores.
            processes: of this machine that share its free memory: those that do the items.
            shared: whether workers will do them; an output that is not named is then one that they can write.
            only_plan: outputs that are there already are not an error until the run is executed.

        Raises:
            ConfigError: options that do not go together, or with the input or the model.
            VolumeError: the input cannot be read, or an output cannot be written there.
            ModelError: the model cannot be used.
            EngineError: the engine cannot be used, or failed.
        """
        self.plan = plan(
            config, source, threads=threads, processes=processes, shared=shared, only_plan=only_plan
        )
        self.round: Round = self.plan.round(self.plan.work.volume)

    @property
    def config(self) -> RunConfig:
        """Options of the run."""
        return self.plan.config

    @property
    def volume(self) -> SelectedVolume:
        """Part of the input that is denoised."""
        return self.round.work.volume

    @property
    def written(self) -> VolumeInfo:
        """Info of the output."""
        return self.round.written

    @property
    def items(self) -> Sequence[WorkItem]:
        """Pieces of the output, each of which is done by itself."""
        return self.round.items

    @property
    def work(self) -> Work:
        """The way in which the items are done."""
        return self.round.work

    @property
    def recipes(self) -> Recipes:
        """Recipes of all planes."""
        return self.round.work.recipes

    @property
    def models(self) -> Models:
        """The loaded models, by channel."""
        return self.plan.models

    @property
    def layout(self) -> Layout:
        """Cut of the output into items."""
        return self.plan.layout

    @property
    def earlier(self) -> Journal | None:
        """The journal of the unfinished run that this one continues; None if there is none."""
        return self.plan.standing.earlier or self.plan.denoising.earlier

    @property
    def finished(self) -> bool:
        """True if an earlier run of the same kind has finished all outputs."""
        return self.plan.standing.finished

    @property
    def refused(self) -> VolumeError | None:
        """Reason why the run may not be executed, if it was only to be planned."""
        return self.plan.standing.refused or self.plan.denoising.refused

    @property
    def evaluations(self) -> int:
        """Network evaluations of planes (of regions, where they are cut), as far as is known.

        Of planes by themselves, if these are fused then; see ``evaluations_again``.
        """
        return self._single.evaluations

    @property
    def evaluations_again(self) -> int:
        """Network evaluations of planes that are denoised once more, averaged with those beside them."""
        return evaluations_again(self.config, self.round)

    @property
    def _single(self) -> Round:
        """The round that denoises planes, each by itself if they are fused then."""
        return self.round if self.plan.half is None else self.round.unfused

    @property
    def evaluations_done(self) -> int:
        """Network evaluations that an unfinished run, which this one continues, has done."""
        if self.plan.denoising.finished:
            return self.evaluations
        return self._single.evaluations_in(self.plan.denoising.earlier)

    @property
    def evaluations_kept(self) -> int:
        """Network evaluations that are on disk now, when this run was interrupted."""
        half = self.plan.half
        if half is not None and finished_before(replace(half.config, overwrite=False), half.fingerprint):
            return self.evaluations
        return self._single.evaluations_in(self._unfinished)

    @property
    def steps_kept(self) -> bool:
        """True if a part of the evaluations of a plane that is not finished is on disk besides."""
        return self.round.has_steps_in(self._unfinished)

    @property
    def _unfinished(self) -> Journal | None:
        """Journal of the images that denoised planes go into, as it is now."""
        return load_unfinished(self.config if self.plan.half is None else self.plan.half.config)

    @property
    def windows_per_plane(self) -> int:
        """Network windows over a whole plane; the most of all models."""
        predictors = [own.denoiser.predictor for own in self.models.used]
        return max(len(one.plan(self.volume.info.plane_shape).windows) for one in predictors)

    @property
    def output_bytes(self) -> int:
        """Bytes of the output before compression; those of an OME-Zarr with its pyramid."""
        return format_of(self.config.target).size(self.written)

    def estimate_seconds(self) -> float:
        """Expected seconds of the network evaluations, from a timed call with one window.

        Raises:
            EngineError: the run is closed, or the network failed.
        """
        self.models.check_open()
        more = self.evaluations_again / self.evaluations if self.evaluations else 0
        return self._single.estimate_seconds() * (1 + more)

    def execute(self, progress: Progress | None = None, workers: Workers | None = None) -> RunReport:
        """Denoise and write; what an unfinished run of the same kind has left is not done again.

        An input that grows is followed until it ends, which the first KeyboardInterrupt makes it do.

        Args:
            progress: see ``Progress``; None: nobody is told.
            workers: who does it; None: this process, which an input that grows needs.

        Raises:
            ConfigError: workers for an input that grows, or an output at a URL.
            VolumeError: reading or writing failed, or another run writes these outputs; the same run again
                continues from what was finished before.
            EngineError: the network failed (the same run again continues likewise), or the run is closed.
            BaikalError: the workers cannot do it.
        """
        self.models.check_open()
        if workers is not None and self.plan.input.grows:
            raise ConfigError("workers: a store that grows is denoised by one process; give None")
        if workers is not None and self.config.upload is not None:
            raise ConfigError("workers: an output at a URL is uploaded by one process; give None")
        if self.refused is not None:
            raise self.refused
        if self.finished:
            if self.plan.half is not None:
                remove_outputs(self.plan.half.config, self.plan.half.fingerprint)
            return RunReport.of_finished(self.config.result)
        workers = workers or ThisProcess()
        workers.prepare(self.config)
        return Execution(self.plan, workers, progress, self._begin).execute()

    def provenance(self, tally: Tally, notes: Sequence[str]) -> dict[str, Any]:
        """Provenance of the output; see ``provenance.provenance``.

        Args:
            tally: of all planes.
            notes: on the output, in sentences.
        """
        return self.plan.provenance(self.round, tally, notes)

    def _begin(self, now: Round) -> None:
        self.round = now

    def close(self) -> None:
        """Free the models; the run cannot be executed afterwards."""
        self.plan.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
