"""The steps of an axis that was recorded with gaps: which there are, and which lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import Any, Self

from baikal_deploy.errors import VolumeError

MOST_LISTED = 10


@dataclass(frozen=True)
class Steps:
    """The steps of an axis: evenly spaced, with those that were left out.

    Attributes:
        all: every step from the first to the last.
        missing: those of which there is no image.
        stride: distance of neighbours, in numbers of steps.
    """

    all: Sequence[Any]
    missing: frozenset[int] = frozenset()
    stride: int = 1

    @classmethod
    def of(cls, path: Path, axis: str, recorded: Sequence[Any]) -> Self:
        """The steps of an axis.

        Args:
            path: the data set, for messages.
            axis: its name there.
            recorded: the steps that there are images of, in order; channels have names or numbers, which are
                not evenly spaced in any sense.

        Raises:
            VolumeError: fewer than half of the steps were recorded.
        """
        if axis == "channel" or len(recorded) < 2 or not all(isinstance(step, int) for step in recorded):
            return cls(recorded)
        stride = reduce(gcd, (later - step for step, later in pairwise(recorded)))
        every = range(recorded[0], recorded[-1] + 1, stride)
        missing = len(every) - len(recorded)
        if missing > len(recorded):
            first = next(step for step in every if step not in recorded)
            raise VolumeError(
                f"{path}: has no image at {axis}={first} and {missing - 1} other steps of {axis}, more than "
                f"it has; export what belongs together"
            )
        return cls(every, frozenset(every).difference(recorded), stride)

    @cached_property
    def _listed(self) -> str:
        shown = sorted(self.missing)
        more = f" and {len(shown) - MOST_LISTED} more" if len(shown) > MOST_LISTED else ""
        return ", ".join(map(str, shown[:MOST_LISTED])) + more

    def remark(self, axis: str) -> str:
        """Remark on the steps that lack; none if all are there.

        Args:
            axis: name of the axis in the data set.
        """
        return f"{axis}={self._listed} was not recorded; its place is kept" if self.missing else ""
