"""Work that goes on beside an acquisition, which hears nothing of what goes wrong with it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from threading import Condition

from baikal_deploy.errors import BaikalError, ConfigError
from baikal_deploy.live.denoiser import LiveDenoiser


def check_holds_nobody_up(live: LiveDenoiser) -> None:
    """Refuse a denoiser that would hold up the acquisition when its queue is full.

    Args:
        live: the denoiser.

    Raises:
        ConfigError: it would.
    """
    if live.when_full == "block":
        raise ConfigError('attach: when_full="block" would hold up the acquisition; take drop-oldest')


@dataclass
class Beside:
    """Pieces of work that are under way, counted by any thread.

    Attributes:
        log: gets what goes wrong.
        errors: what went wrong, in order.
    """

    log: logging.Logger
    errors: list[Exception] = field(default_factory=list)
    _changed: Condition = field(default_factory=Condition)
    _under_way: int = 0

    def begin(self) -> None:
        """Count one more piece of work."""
        with self._changed:
            self._under_way += 1

    def end(self) -> None:
        """Count one less."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until none is under way.

        Args:
            timeout: in seconds.

        Returns:
            False if the time was not enough.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._under_way == 0, timeout)

    def report(self, what: str, error: Exception) -> None:
        """Take down what went wrong, and log it.

        Args:
            what: was being done.
            error: that was raised.
        """
        self.errors.append(error)
        traceback = None if isinstance(error, BaikalError) else error
        self.log.error("%s: %s", what, error, exc_info=traceback)
