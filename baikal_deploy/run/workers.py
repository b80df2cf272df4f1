"""Workers that do the items of a run: this process, one after the other, unless others are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from baikal_deploy.denoising.stack import Denoised
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.items import Found, Work
from baikal_deploy.run.prefetch import Check, overlapped
from baikal_deploy.run.resume.session import Session
from baikal_deploy.volumes.base import WorkItem

Advance = Callable[[int, int], None]
"""Called with the evaluations of planes that are done with since the last call, and those of them that were
computed: none is for planes that are copied."""


class Workers(Protocol):
    """Workers that do the items of a run."""

    def prepare(self, config: RunConfig) -> None:
        """Get ready, before anything is written.

        Args:
            config: the options of the run.

        Raises:
            BaikalError: they cannot do such a run.
        """

    def work(self, work: Work, session: Session, advance: Advance) -> None:
        """Do all items that the session has left: read, denoise, write and record them and what was measured.

        Args:
            work: the way in which items are done.
            session: that holds the outputs.
            advance: see ``Advance``.

        Raises:
            BaikalError: something failed; what was recorded before that is finished.
        """


class SharedOut(Workers, Protocol):
    """Workers that are other processes, such as a ``Cluster``."""

    @property
    def processes(self) -> int:
        """Number of workers that share the memory of this machine; see ``Run``."""

    def check(self, config: RunConfig) -> None:
        """Check a run before it is planned.

        Args:
            config: the options of the run.

        Raises:
            ConfigError: it cannot be shared out.
        """

    def describe(self) -> str:
        """Description of the workers, for people.

        Raises:
            BaikalError: they cannot be reached.
        """


class ThisProcess:
    """Does one item after the other; meanwhile the next is read and the last one written."""

    def prepare(self, config: RunConfig) -> None:
        """Nothing is to be prepared: any run can be done here.

        Args:
            config: the options of the run.
        """

    def work(self, work: Work, session: Session, advance: Advance) -> None:
        """Do all items that the session has left; see ``Workers.work``.

        Args:
            work: the way in which items are done.
            session: that holds the outputs.
            advance: see ``Advance``.

        Raises:
            BaikalError: something failed; what was recorded before that is finished.
        """

        def denoise(item: WorkItem, found: Found, check: Check) -> Denoised:
            kept = session.kept.of(item.index)
            for group, measurement in work.recipes.measured(item.planes):
                session.measured(group, measurement)
            expected = work.evaluations(item)
            computed = work.evaluations(item, kept.planes)
            if computed:
                advance(computed, 0)

            def advance_and_check(planes: int) -> None:
                nonlocal computed
                check()
                # Planes that failed together are tried again alone, which is more than was expected.
                advance(min(planes, max(0, expected - computed)), planes)
                computed += planes

            denoised = work.denoise(found, advance_and_check, kept)
            if computed < expected:
                advance(expected - computed, 0)
            return denoised

        overlapped(session.left, work.read, denoise, session.write)
