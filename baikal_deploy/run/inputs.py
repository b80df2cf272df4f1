"""What a run reads, as a sequence of rounds: an input that is whole has one, one that grows has several."""

from __future__ import annotations

from typing import Any, Protocol

from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.selection import SelectedVolume


class Input(Protocol):
    """What a run reads. ``chosen`` is always what was chosen of it when the run was planned."""

    @property
    def is_there(self) -> bool:
        """Whether there is anything yet."""

    @property
    def grows(self) -> bool:
        """Whether there may be several rounds."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""

    def open(self) -> Volume:
        """What can be planned on. Raises VolumeError: there is nothing that can be denoised."""

    def contents(self, chosen: SelectedVolume) -> dict[str, Any] | None:
        """What tells that it is the same input, whatever has come meanwhile; None: all that is known."""

    def continue_at(self, ended: int | None) -> None:
        """Take it to have ended where an unfinished run has, which is continued, if it has."""

    def now(self, chosen: SelectedVolume) -> SelectedVolume:
        """What is there of it."""

    def beginning(self, chosen: SelectedVolume) -> SelectedVolume:
        """What is measured."""

    def for_layout(self, info: VolumeInfo) -> VolumeInfo:
        """What the layout of the output is chosen for."""

    def holds_no_more_than(self, output: VolumeInfo) -> bool:
        """Whether a finished output has all of it."""

    def next_round(self, chosen: SelectedVolume, layout: Layout, done: int) -> SelectedVolume:
        """Wait for more than so many steps of the first axis, if it grows, and return what can be denoised.

        Raises:
            VolumeError: it has become another input, or cannot be read any more.
        """

    def interrupt(self) -> None:
        """End it where it is. Raises KeyboardInterrupt: it has ended."""

    def notes(self) -> list[str]:
        """What to know of how it ended, in sentences."""

    def record(self, info: VolumeInfo) -> dict[str, Any]:
        """What the provenance says of it."""


class WholeInput:
    """An input that is all there: one round."""

    is_there = True
    grows = False
    ended = True

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def open(self) -> Volume:
        """See ``open_input``."""
        return open_input(self._config.input, self._config.series)

    def contents(self, chosen: SelectedVolume) -> None:
        """All that is known of it: it does not change."""

    def continue_at(self, ended: int | None) -> None:
        """It ends where it ends."""

    def now(self, chosen: SelectedVolume) -> SelectedVolume:
        """All of it."""
        return chosen

    beginning = now

    def for_layout(self, info: VolumeInfo) -> VolumeInfo:
        """What it is."""
        return info

    def holds_no_more_than(self, output: VolumeInfo) -> bool:
        """A finished output has all of it."""
        return True

    def next_round(self, chosen: SelectedVolume, layout: Layout, done: int) -> SelectedVolume:
        """All of it."""
        return chosen

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt: nothing else could be ended."""
        raise KeyboardInterrupt

    def notes(self) -> list[str]:
        """Nothing is worth saying."""
        return []

    def record(self, info: VolumeInfo) -> dict[str, Any]:
        """Nothing but what is said of every input."""
        return {}
