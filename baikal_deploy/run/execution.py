"""A plan as it is executed: round by round, and in two halves where results are fused.

Of an input that is whole, all planes are denoised before any is fused. Of one that grows, each round is
denoised and fused at once, so that the output keeps up; results of earlier rounds are there to be looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from baikal_deploy.host.locks import locked
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.fused import Fusing
from baikal_deploy.run.fused_again import evaluations_again, second_half
from baikal_deploy.run.items import Work
from baikal_deploy.run.plan import Half, Plan, Round
from baikal_deploy.run.provenance import provenance
from baikal_deploy.run.recipes import Recipes
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.resume.fingerprint import digest
from baikal_deploy.run.resume.session import Session, open_session, remove_outputs
from baikal_deploy.run.resume.unfinished import places_found
from baikal_deploy.run.workers import Workers
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.cleanup import remove_finished
from baikal_deploy.volumes.open import labels_of, open_input
from baikal_deploy.volumes.selection import SelectedVolume

UNFUSED = "results before they are fused, on the network's scale; NaN where a pixel of the input is kept"

Progress = Callable[[int, int], None]
"""(network evaluations of planes done, all of them) -> None."""


@dataclass
class Execution:
    """A run as it is executed.

    Attributes:
        plan: of the run.
        workers: who does it.
        progress: see ``Progress``; None: nobody is told.
        began: is told of each round before it is done.
        computed: evaluations so far.
    """

    plan: Plan
    workers: Workers
    progress: Progress | None
    began: Callable[[Round], None]
    round: Round = field(init=False)
    computed: int = 0

    def execute(self) -> RunReport:
        """Denoise, fuse if that was asked for, and write; see ``Run.execute``."""
        started, half = time.perf_counter(), self.plan.half
        self._begin(0)
        if half is None:
            tally, notes = self._denoise()
        elif self.plan.input.grows:
            tally, notes = self._follow(half)
        else:
            self._denoise_half(half)
            tally, notes = self._fuse(half)
        seconds = time.perf_counter() - started
        return RunReport(self.plan.config.result, seconds, self.computed, tally, notes)

    def _begin(self, done: int) -> None:
        self.round = self.plan.next_round(done)
        self.began(self.round)

    def _denoise(self) -> tuple[Tally, list[str]]:
        """Denoise all rounds into the outputs."""
        with self._outputs() as session:
            for _ in self._rounds(session):
                self._do_round(self.round, session)
            return self._finish(session, self.round.work)

    def _denoise_half(self, half: Half) -> None:
        """Denoise planes, each by itself, into an image of their results."""
        if half.standing.finished:
            return
        with self._results(half) as session:
            self._do_round(self.round.unfused, session, later=evaluations_again(self.plan.config, self.round))
            made = provenance(half.config, self._recipes, digest(half.fingerprint), session.tally, ())
            session.finish(made | {"content": UNFUSED})

    def _fuse(self, half: Half) -> tuple[Tally, list[str]]:
        """Fuse the results into the outputs, and remove their image."""
        place = half.config.target
        with locked(place):
            kind = second_half(self.plan.config)
            work = kind.of(self.round.work, open_input(place), half.fuse, RunReport.of_finished(place).tally)
            with self._outputs() as session:
                self._do_round(replace(self.round, work=work), session, before=self.round.unfused.evaluations)
                found = self._finish(session, work)
        remove_finished(place, digest(half.fingerprint))
        return found

    def _follow(self, half: Half) -> tuple[Tally, list[str]]:
        """Denoise and fuse round by round."""
        with ExitStack() as stack:
            results, outputs = (stack.enter_context(one) for one in (self._results(half), self._outputs()))
            for _ in self._rounds(outputs, results):
                if self._do_round(self.round.unfused, results):
                    self._fuse_round(half, results, outputs)
            found = self._finish(outputs, self._fusing(half, results))
        remove_outputs(half.config, half.fingerprint)
        return found

    def _fuse_round(self, half: Half, results: Session, outputs: Session) -> None:
        try:
            self.workers.work(self._fusing(half, results), outputs, self._count)
        except KeyboardInterrupt:
            self.plan.input.interrupt()

    def _fusing(self, half: Half, results: Session) -> Fusing:
        place = next(place for place in places_found(results.journal) if place is not None)
        return second_half(self.plan.config).of(
            self.round.work, open_input(place), half.fuse, results.tally, growing=self.plan.growing
        )

    @property
    def _recipes(self) -> Recipes:
        return self.round.work.recipes

    def _outputs(self) -> AbstractContextManager[Session]:
        return self._session(self.plan.config, self.plan.fingerprint, self.round.written)

    def _results(self, half: Half) -> AbstractContextManager[Session]:
        return self._session(half.config, half.fingerprint, self.round.unfused.written)

    @contextmanager
    def _session(
        self, config: RunConfig, fingerprint: Mapping[str, Any], written: VolumeInfo
    ) -> Iterator[Session]:
        with open_session(config, written, fingerprint, self.plan.layout) as session:
            for group, measurement in self._recipes.measurements.items():
                session.measured(group, measurement)
            yield session

    def _rounds(self, outputs: Session, results: Session | None = None) -> Iterator[None]:
        """All rounds, the first of which is the present one."""
        source, sessions = self.plan.input, [outputs] if results is None else [results, outputs]
        while True:
            last = source.ended
            for session in sessions if last and source.grows else ():
                session.end(self.round.written.shape[0])
            yield
            if last:
                return
            self._begin(self.round.written.shape[0])
            outputs.grow(self.round.written)
            if results is not None:
                results.grow(self.round.unfused.written)

    def _do_round(self, now: Round, session: Session, before: int = 0, later: int = 0) -> bool:
        """Do what is there of an input; False if that was interrupted, and so the input has ended.

        Args:
            now: what is there.
            session: that it is written in.
            before, later: evaluations of the other half of the run.
        """
        recipes = now.work.recipes
        done = sum(map(now.work.evaluations, session.done))
        known, total = len(recipes.known), now.evaluations

        def advance(planes: int, evaluated: int) -> None:
            nonlocal done, known, total
            if known != len(recipes.known):
                known, total = len(recipes.known), now.evaluations
            done += planes
            self.computed += evaluated
            if self.progress is not None:
                self.progress(before + done, before + total + later)

        advance(0, 0)
        try:
            self.workers.work(now.work, session, advance)
        except KeyboardInterrupt:
            self.plan.input.interrupt()
            return False
        return True

    def _count(self, planes: int, evaluated: int) -> None:
        """Count what the second half of a round evaluates; nobody is told how far it is."""
        self.computed += evaluated

    def _finish(self, session: Session, work: Work) -> tuple[Tally, list[str]]:
        """Complete the outputs; what to know about them."""
        tally, plan = work.counted + session.tally, self.plan
        notes = [*work.notes, *tally.notes(), *plan.notes(), *_copy_labels(work.volume, session)]
        session.finish(plan.provenance(self.round, tally, notes))
        return tally, notes


def _copy_labels(volume: SelectedVolume, session: Session) -> list[str]:
    """Give the outputs the input's labels; what to know of it."""
    labels = labels_of(volume.whole)
    if labels is None:
        return []
    if volume.is_cut:
        return ["label images belong to the whole image and were left out of a part of it"]
    return session.copy_labels(labels)
