"""Runs that are planned and done, and a listener that is told how they go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.many.listener import Listener
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.run.workers import SharedOut
from baikal_deploy.volumes.open import files_of
from baikal_deploy.volumes.urls import Source

After = Callable[[Run, RunReport], None]
"""Called when the outputs of a run are complete."""


@dataclass(frozen=True)
class Ran:
    """Result of one image's run.

    Attributes:
        files: that it was read from.
        output: what was written.
        before: whether an earlier run had denoised it.
    """

    files: frozenset[Path]
    output: Source
    before: bool


@dataclass(frozen=True)
class Runner:
    """The way in which each of several runs is done.

    Attributes:
        listener: is told how it goes.
        workers: who does it; None: this process.
        after: what follows when it is done; its errors are those of the run. None: nothing.
        dry_run: whether it is planned alone.
    """

    listener: Listener
    workers: SharedOut | None = None
    after: After | None = None
    dry_run: bool = False

    def denoise(self, config: RunConfig) -> Ran:
        """Plan a run, and do it.

        Args:
            config: the options of the run.

        Raises:
            BaikalError: see ``Run``.
        """
        shared, is_named = self.workers is not None, config.output is not None
        if self.workers is not None and is_named:
            self.workers.check(config)
        processes = 1 if self.workers is None else self.workers.processes
        with Run(config, processes=processes, shared=shared, only_plan=self.dry_run) as run:
            if self.workers is not None and not is_named:
                self.workers.check(run.config)
            self.do(run)
            return Ran(files_of(run.volume), run.config.result, run.finished)

    def do(self, run: Run) -> None:
        """Do what was planned.

        Args:
            run: not closed.

        Raises:
            BaikalError: see ``Run.execute``.
        """
        self.listener.planned(run, run.estimate_seconds() if self.dry_run else None)
        if not self.dry_run:
            report = self._execute(run)
            self.listener.done(report)
            if self.after is not None:
                self.after(run, report)

    def _execute(self, run: Run) -> RunReport:
        if run.finished:
            return run.execute()
        if self.workers is not None:
            self.listener.workers(self.workers.describe())
        try:
            with self.listener.denoising(run) as progress:
                return run.execute(progress, self.workers)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(run)) from None


def _interrupted(run: Run) -> str:
    """Message about what is kept of a run that was interrupted."""
    steps = " with what was computed of a plane that is not finished," if run.steps_kept else ""
    return (
        f"{run.config.target}: not complete yet; {run.evaluations_kept} of {run.evaluations} network "
        f"evaluations are kept,{steps} and the same command continues from there"
    )
