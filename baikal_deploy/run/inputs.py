"""The input of a run as a sequence of rounds: one that is whole has one, one that grows has several."""

from __future__ import annotations

from typing import Any, Protocol

from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.selection import SelectedVolume


class Input(Protocol):
    """The input of a run. ``chosen`` is always what was chosen of it when the run was planned."""

    @property
    def is_there(self) -> bool:
        """True if there is anything yet."""

    @property
    def grows(self) -> bool:
        """True if there may be several rounds."""

    @property
    def ended(self) -> bool:
        """True if nothing more will come."""

    def open(self) -> Volume:
        """Volume that a run can be planned on.

        Raises:
            VolumeError: there is nothing that can be denoised.
        """

    def contents(self, chosen: SelectedVolume) -> dict[str, Any] | None:
        """Facts that tell that it is the same input, whatever has come meanwhile; None: all that is known.

        Args:
            chosen: see the class.
        """

    def continue_at(self, ended: int | None) -> None:
        """Take the input to have ended where an unfinished run has, which is continued, if it has.

        Args:
            ended: steps of the first axis; None: it had not ended.

        Raises:
            VolumeError: it is shorter by now.
        """

    def now(self, chosen: SelectedVolume) -> SelectedVolume:
        """Part of the chosen planes that is there.

        Args:
            chosen: see the class.
        """

    def beginning(self, chosen: SelectedVolume) -> SelectedVolume:
        """Planes to measure.

        Args:
            chosen: see the class.
        """

    def for_layout(self, info: VolumeInfo) -> VolumeInfo:
        """Info to choose the output's layout for.

        Args:
            info: of the output.
        """

    def holds_no_more_than(self, output: VolumeInfo) -> bool:
        """True if a finished output has all of the input.

        Args:
            output: its info.
        """

    def next_round(self, chosen: SelectedVolume, layout: Layout, done: int) -> SelectedVolume:
        """Wait for more than so many steps of the first axis, if it grows, and return what can be denoised.

        Args:
            chosen: see the class.
            layout: of the output.
            done: steps of the first axis.

        Raises:
            VolumeError: it has become another input, or cannot be read any more.
        """

    def interrupt(self) -> None:
        """End the input where it is. Raises KeyboardInterrupt if it has ended."""

    def notes(self) -> list[str]:
        """Remarks on how the input ended, in sentences."""

    def record(self, info: VolumeInfo) -> dict[str, Any]:
        """Entries of the provenance on how the input was read.

        Args:
            info: of the output.
        """


class WholeInput:
    """An input that is all there: one round."""

    is_there = True
    grows = False
    ended = True

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def open(self) -> Volume:
        """Open the input; see ``open_input``.

        Raises:
            VolumeError: it cannot be read.
        """
        return open_input(self._config.input, self._config.series, self._config.axes)

    def contents(self, chosen: SelectedVolume) -> None:
        """None: the input does not change, and all that is known of it counts."""

    def continue_at(self, ended: int | None) -> None:
        """Nothing is to be settled: the input ends where it ends."""

    def now(self, chosen: SelectedVolume) -> SelectedVolume:
        """All of the chosen planes."""
        return chosen

    beginning = now

    def for_layout(self, info: VolumeInfo) -> VolumeInfo:
        """The info itself."""
        return info

    def holds_no_more_than(self, output: VolumeInfo) -> bool:
        """True: a finished output has all of the input."""
        return True

    def next_round(self, chosen: SelectedVolume, layout: Layout, done: int) -> SelectedVolume:
        """All of the chosen planes."""
        return chosen

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt: nothing else could be ended."""
        raise KeyboardInterrupt

    def notes(self) -> list[str]:
        """No remarks: nothing is worth saying."""
        return []

    def record(self, info: VolumeInfo) -> dict[str, Any]:
        """No entries beyond those on every input."""
        return {}
