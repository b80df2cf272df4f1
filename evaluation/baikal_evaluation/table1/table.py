"""Table 1 as a whole."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from baikal_deploy.engines import AUTO
from baikal_deploy.errors import ConfigError
from baikal_evaluation.careamics.environment import Environment
from baikal_evaluation.methods.base import MINUTES
from baikal_evaluation.metrics import AUTHORS, AUTHORS_STORED, Definition
from baikal_evaluation.output import make_folder, write_results
from baikal_evaluation.report.files import write_text
from baikal_evaluation.results import Results
from baikal_evaluation.session import Progress, compare
from baikal_evaluation.table1.columns import ROWS, Column, fill
from baikal_evaluation.table1.datasets import PUBLISHED, DataSet, published, simulated

SIMULATED = "simulated"
METRICS = {"ssim": ".3f", "mse": ".4f", "psnr": ".2f"}
"""Metrics in the order of the paper, and how they are written."""


@dataclass(frozen=True)
class Table1:
    """Table 1 of the paper, as it is to be filled.

    Attributes:
        source: "simulated", or the folder that CARE's data sets were unpacked to.
        output: folder for everything; a table that was interrupted continues from what is there.
        minutes: CPU time that every method may learn for.
        engine: see ``Denoiser.load``.
        seed: of everything random.
        jobs: processes of one thread each.
        most: test images of each data set; None: all.

    Raises:
        ConfigError: no time to learn.
    """

    source: str
    output: Path
    minutes: float = MINUTES
    engine: str = AUTO
    seed: int = 0
    jobs: int = 2
    most: int | None = None

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise ConfigError(f"minutes {self.minutes}: must be above 0")

    def run(self, progress: Progress) -> Path:
        """Fill the table.

        Args:
            progress: is called as the work advances.

        Returns:
            table1.md; table1.csv lies beside it, and a folder of results for each data set.

        Raises:
            BaikalError: data sets or CAREamics that are not there, or a method that cannot learn. What was
                done before is kept.
        """
        Environment.find("table 1")  # before others have learnt for minutes
        make_folder(self.output)
        columns = [
            Column(self._data(name), self.output / name, self.minutes, self.engine, self.seed)
            for name in PUBLISHED
        ]
        fill(columns, self.jobs, progress)
        results = {column.data.name: _results(column, self._definition, progress) for column in columns}
        specs = {column.data.name: column.specs() for column in columns}
        cells = [
            [row, *(cell for name in results for cell in _cells(results[name], specs[name][row].text))]
            for row in ROWS
        ]
        return self._write(cells)

    def _data(self, name: str) -> DataSet:
        if self.source == SIMULATED:
            return simulated(name, self.output, self.most)
        return published(name, Path(self.source), self.most)

    @property
    def _definition(self) -> Definition:
        return AUTHORS if self.source == SIMULATED else AUTHORS_STORED

    def _write(self, cells: list[list[str]]) -> Path:
        heads = ["method", *(f"{name} {metric.upper()}" for name in PUBLISHED for metric in METRICS)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([heads, *cells])
        write_text(self.output / "table1.csv", text.getvalue())
        lines = [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *cells)]
        page = self.output / "table1.md"
        write_text(page, "\n".join([*lines, "", f"{self._definition}.", ""]))
        return page


def _results(column: Column, definition: Definition, progress: Progress) -> Results:
    pairs, tried = list(column.data.test), column.candidates()
    results = compare(pairs, tried, column.store, definition, progress)
    write_results(column.folder, results, pairs, tried, column.store)
    return results


def _cells(results: Results, method: str) -> list[str]:
    """Means of a method; "failed" where it failed on an image."""
    summary = results.summary()[method]
    if summary.failures:
        return ["failed"] * len(METRICS)
    return [f"{summary.metrics[name].mean:{form}}" for name, form in METRICS.items()]
