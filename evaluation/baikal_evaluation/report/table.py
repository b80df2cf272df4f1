"""Results as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from baikal_evaluation.report.text import (
    BEST,
    failure_text,
    images_text,
    legend,
    mean_text,
    number_text,
    range_text,
)
from baikal_evaluation.results import Metric, Results, Summary

UNLIMITED = 10_000
"""Columns of what is not a terminal: nothing is wrapped there."""


def print_table(results: Results, console: Console) -> None:
    """Print a line of each method; then the failures, and what the figures mean.

    In a terminal that is too narrow the intervals stand below the means.

    Args:
        results: to print.
        console: to print on.
    """
    if not console.is_terminal:
        console.width = UNLIMITED
    table = _table(results, " ", console.is_terminal)
    needs = Measurement.get(console, console.options.update(width=UNLIMITED), table).maximum
    console.print(table if needs <= console.width else _table(results, "\n", console.is_terminal))
    console.print()
    for line in _notes(results):
        console.print(Text(line), soft_wrap=True)


def _table(results: Results, gap: str, lines: bool) -> Table:
    head = box.SIMPLE_HEAD if lines else None
    table = Table(box=head, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("method", overflow="fold")
    for metric in results.metrics:
        table.add_column(metric.label, no_wrap=True)
    for title in ("NFE", "s/plane", "images"):
        table.add_column(title, justify="right", no_wrap=True)
    best = {metric.name: results.best(metric) for metric in results.metrics}
    for method, summary in results.summary().items():
        cells = [_cell(metric, summary, best[metric.name] == method, gap) for metric in results.metrics]
        oracle = " (oracle)" if method in results.oracles else ""
        nfe, seconds = number_text(summary.nfe), number_text(summary.seconds_per_plane)
        table.add_row(Text(method + oracle), *cells, nfe, seconds, images_text(summary))
    return table


def _cell(metric: Metric, summary: Summary, best: bool, gap: str) -> Text:
    interval = summary.metrics.get(metric.name)
    mean, rest = mean_text(metric, interval), range_text(metric, interval)
    text = Text(mean + (BEST if best else ""), style="bold green" if best else "")
    return text.append(gap + rest.replace(" ", gap), style="not bold default") if rest else text


def _notes(results: Results) -> Iterator[str]:
    for row in results.failures:
        yield failure_text(row)
    yield from legend(results)
    yield results.definition
