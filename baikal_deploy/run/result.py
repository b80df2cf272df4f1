"""The report of a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from baikal_deploy.pixels.counts import Tally


@dataclass(frozen=True)
class RunReport:
    """Report of a finished run.

    Attributes:
        output: the written image.
        seconds: wall time of denoising and writing, without planning.
        evaluations: network evaluations of planes in that time; those of an earlier run do not count.
        tally: what to know about the pixels.
        notes: what to know about the output, in sentences.
        before: whether an earlier run had finished all of it.
    """

    output: Path
    seconds: float
    evaluations: int
    tally: Tally
    notes: list[str]
    before: bool = False

    @property
    def per_second(self) -> float:
        """Network evaluations of planes per second."""
        return self.evaluations / self.seconds if self.evaluations else 0.0
