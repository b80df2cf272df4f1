"""Work beside napari's own thread, which tells of itself through signals of Qt and can be stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from qtpy.QtCore import QObject, Signal

from baikal_deploy.errors import BaikalError

log = logging.getLogger(__name__)


class Stopped(Exception):
    """Raised in work that nobody waits for any more."""


class Job(QObject):
    """Work in a thread of its own. What becomes of it is told in the thread of those who listen.

    The process does not end before the thread does: what a run has finished is kept.

    Attributes:
        advanced: (done, all of it), now and then.
        found: what the work has found so far, any number of times.
        done: its result.
        failed: one line that says what was wrong.
        stopped: it was stopped, and has ended.
    """

    advanced = Signal(int, int)
    found = Signal(object)
    done = Signal(object)
    failed = Signal(str)
    stopped = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._stop = Event()
        self._thread: Thread | None = None

    def start(self, work: Callable[[Job], Any]) -> None:
        """Begin.

        Args:
            work: is given the job; it should call ``check`` now and then.
        """
        self._thread = Thread(target=self._work, args=(work,), name="baikal")
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """True until the work has ended."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Ask the work to end; does not wait."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait until the work has ended, so long at most."""
        if self._thread is not None:
            self._thread.join(seconds)

    def check(self) -> None:
        """Raise Stopped if the work is to end."""
        if self._stop.is_set():
            raise Stopped

    def _work(self, work: Callable[[Job], Any]) -> None:
        try:
            result = work(self)
            self.check()
        except Stopped:
            self.tell(self.stopped)
        except BaikalError as error:
            self.tell(self.failed, " ".join(str(error).split()))
        except Exception as error:
            log.exception("unexpected error in the plug-in of Baikal Deploy")
            name = type(error).__name__
            self.tell(self.failed, f"unexpected {name}: {error} (a bug; the log has where it happened)")
        else:
            self.tell(self.done, result)

    @staticmethod
    def tell(signal: Any, *values: Any) -> None:
        """Emit a signal; nobody listens any more when the window is closed.

        Args:
            signal: of a job.
            values: of the signal.
        """
        with suppress(RuntimeError):  # the part of the job that belongs to Qt is gone
            signal.emit(*values)


class Slot:
    """A place for one job: the newest wins, and it is asked to end when the window is closed."""

    def __init__(self) -> None:
        self.job: Job | None = None

    def take(self, job: Job) -> None:
        """Put in a job; the one before is asked to end.

        Args:
            job: not begun yet.
        """
        self.stop()
        self.job = job

    def stop(self) -> None:
        """Ask the job to end, if there is one."""
        if self.job is not None:
            self.job.stop()
