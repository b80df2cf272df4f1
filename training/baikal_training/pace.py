"""How often a training is validated: as often as a small share of its time pays for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SHARE = 0.05
"""Largest share of the time since the training began that validation takes, the first and the last aside."""


class Pace:
    """The times at which a training is validated.

    The first that could be and the last always are; the others wait until all that went before, and one more
    as long as the longest, are paid for.

    Attributes:
        spent: seconds that validations took.
        count: of validations.
    """

    def __init__(self) -> None:
        self.spent, self.longest, self.count = 0.0, 0.0, 0

    def is_due(self, seconds: float, is_last: bool) -> bool:
        """True if a validation is to be made, ``seconds`` after the training began."""
        return is_last or self.spent + self.longest <= SHARE * seconds

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Time one validation."""
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.spent, self.longest, self.count = self.spent + took, max(self.longest, took), self.count + 1

    def summary(self) -> str:
        """One line for people."""
        often = _duration(self.longest / SHARE)
        return (
            f"a validation takes {_duration(self.longest)}; there is one every {often} at most, which is "
            f"{SHARE:.0%} of the time, and one at the end"
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def crops_that_fit(seconds_each: float, minutes: float | None, most: int, part: int) -> int:
    """Number of crops, so that the first and the last validation of a short training fit SHARE of it.

    Args:
        seconds_each: that one crop takes in a validation.
        minutes: that the training takes; None if that is not known.
        most: crops, where there is time; what is returned is a multiple of ``part``, and not less than it.
        part: crops that are computed at once.
    """
    if minutes is None:
        return most
    fitting = SHARE * 60 * minutes / (2 * seconds_each)
    return int(min(most, max(part, fitting // part * part)))
