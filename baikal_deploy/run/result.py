"""The report of a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from baikal_deploy.pixels.counts import Tally
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.urls import Source


@dataclass(frozen=True)
class RunReport:
    """Report of a finished run.

    Attributes:
        output: the written image, a path or URL.
        seconds: wall time of denoising and writing, without planning.
        evaluations: network evaluations of planes in that time; those of an earlier run do not count.
        tally: what to know about the pixels.
        notes: what to know about the output, in sentences.
        before: whether an earlier run had finished all of it.
    """

    output: Source
    seconds: float
    evaluations: int
    tally: Tally
    notes: list[str]
    before: bool = False

    @classmethod
    def of_finished(cls, output: Source) -> Self:
        """Report of an earlier run, which has finished an output.

        Args:
            output: what it has written.
        """
        mark = Mark.at(output)
        made = {} if mark is None else mark.provenance
        tally = Tally.from_record(made.get("counts", {}))
        return cls(output, 0.0, 0, tally, list(made.get("notes", ())), before=True)

    @property
    def per_second(self) -> float:
        """Network evaluations of planes per second."""
        return self.evaluations / self.seconds if self.evaluations else 0.0
