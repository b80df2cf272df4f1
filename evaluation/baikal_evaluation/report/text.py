"""Numbers and sentences that the table and the page share."""

from __future__ import annotations

import math
from collections.abc import Iterator

from baikal_evaluation.results import Metric, Results, Row, Summary
from baikal_evaluation.statistics import FEWEST, Interval

BEST = "*"
NONE = "-"


def mean_text(metric: Metric, interval: Interval | None) -> str:
    """Mean in words; a dash where there is none."""
    return NONE if interval is None else format(interval.mean, metric.form)


def range_text(metric: Metric, interval: Interval | None) -> str:
    """Interval in words, such as "[26.90, 27.75]"; nothing where there is none.

    Args:
        metric: says how numbers are written.
        interval: the mean and its interval; None: unknown.
    """
    if interval is None or interval.low == interval.high:
        return ""
    return f"[{interval.low:{metric.form}}, {interval.high:{metric.form}}]"


def difference_text(metric: Metric, interval: Interval | None) -> str:
    """Difference in words, such as "+0.41 [+0.12, +0.77]"; a dash where there is none.

    Args:
        metric: says how numbers are written.
        interval: the difference and its interval; None: unknown.
    """
    if interval is None:
        return NONE
    mean, low, high = (format(x, f"+{metric.form}") for x in (interval.mean, interval.low, interval.high))
    return mean if low == high else f"{mean} [{low}, {high}]"


def number_text(value: float | None, form: str = ".3g") -> str:
    """Number in words; a dash where there is none."""
    return NONE if value is None else format(value, form)


def images_text(summary: Summary) -> str:
    """Number of images that were denoised, and of how many if some failed."""
    failed = f"/{summary.images + summary.failures}" if summary.failures else ""
    return f"{summary.images}{failed}"


def sort_key(value: float | None) -> str:
    """A number with all digits, as JavaScript reads it."""
    if value is None or math.isfinite(value):
        return "" if value is None else repr(float(value))
    return "" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"


def failure_text(row: Row) -> str:
    """Sentence on a method that failed on an image."""
    return f"{row.method} failed on {row.image}: {row.error}"


def legend(results: Results) -> Iterator[str]:
    """Sentences that say what the marks in a table mean."""
    if len(results.images) >= FEWEST:
        yield "In brackets: the 95 % confidence interval of the mean over images."
    else:
        yield f"Fewer than {FEWEST} images: no confidence intervals."
    if any(results.best(metric) for metric in results.metrics):
        yield f"{BEST} the best mean of the methods that denoised the most images, oracles apart."
    if results.oracles.intersection(results.methods):
        yield "Oracles look at the clean side of the very image that they denoise."
    if results.failures:
        yield "A mean over fewer images does not compare; the paired differences do."
