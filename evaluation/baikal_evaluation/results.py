"""Results of an evaluation: a row of each image and method, and what follows from the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean
from typing import Any

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.statistics import Interval, mean_interval, paired_difference

# Every output asks for the same ones, and resampling takes a while.
_mean_interval, _paired_difference = (lru_cache(4096)(f) for f in (mean_interval, paired_difference))

MOST_REFERENCES = 12
"""Methods up to which each one is compared with all others."""


@dataclass(frozen=True)
class Metric:
    """A figure of merit.

    Attributes:
        name: of the attribute of ``Row`` that holds it.
        title: for people.
        unit: of it, if it has one of its own.
        form: how it is written, as a format specification.
        best: max or min; None: neither end is good.
    """

    name: str
    title: str
    unit: str
    form: str
    best: Callable[..., Any] | None

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def of(self, row: Row) -> float | None:
        """Figure of a row; None where it has none."""
        value: float | None = getattr(row, self.name)
        return value


METRICS = (
    Metric("psnr", "PSNR", "dB", ".2f", max),
    Metric("ssim", "SSIM", "", ".3f", max),
    Metric("mse", "MSE", "", ".3g", min),
    Metric("noise_before", "noise before", "", ".3g", None),
    # A blur leaves the least noise, and is not the best for it.
    Metric("noise_after", "noise after", "", ".3g", None),
)


@dataclass(frozen=True)
class Row:
    """One method on one image.

    Attributes:
        nfe: network evaluations per plane.
        seconds_per_plane: wall time.
        error: why the method failed on this image; then nothing else is known.
        noise_before: noise estimated in the noisy image, in raw units; where there is no clean side.
        noise_after: the same in the prediction.
    """

    image: str
    method: str
    ssim: float | None = None
    psnr: float | None = None
    mse: float | None = None
    nfe: int = 0
    seconds_per_plane: float = 0.0
    planes: int = 0
    error: str | None = None
    noise_before: float | None = None
    noise_after: float | None = None


@dataclass(frozen=True)
class Summary:
    """One method on all the images that it did not fail on.

    Attributes:
        images: how many these are.
        failures: how many others there are.
        metrics: mean of each metric and its 95 % interval, by name.
        nfe: mean; None if it failed on every image.
        seconds_per_plane: likewise.
    """

    images: int
    failures: int
    metrics: Mapping[str, Interval]
    nfe: float | None
    seconds_per_plane: float | None


@dataclass(frozen=True)
class Difference:
    """A method minus a reference method, on the images that neither failed on.

    Attributes:
        images: how many these are.
        metrics: mean difference of each metric and its 95 % interval, by name.
    """

    images: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True)
class Results:
    """Rows of an evaluation, and what has to stand beside them.

    Attributes:
        rows: at most one of each image and method.
        definition: of the metrics, in one line; stands in every output.
        machine: that it ran on, in one line.
        command: that was run.
        versions: of the packages that matter, by name.
        oracles: methods that look at the clean side of the very image that they denoise.
    """

    rows: tuple[Row, ...]
    definition: str
    machine: str
    command: str
    versions: Mapping[str, str] = field(default_factory=dict)
    oracles: frozenset[str] = frozenset()

    @property
    def methods(self) -> list[str]:
        """Methods in the order of the rows."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def images(self) -> list[str]:
        """Images in the order of the rows."""
        return list(dict.fromkeys(row.image for row in self.rows))

    @property
    def references(self) -> list[str]:
        """Methods that outputs compare the others with: all, or of many the first alone.

        The time that a comparison takes grows with the number of pairs of methods.
        """
        return self.methods if len(self.methods) <= MOST_REFERENCES else self.methods[:1]

    @property
    def metrics(self) -> list[Metric]:
        """Metrics that at least one row has."""
        return [metric for metric in METRICS if any(metric.of(row) is not None for row in self.rows)]

    @property
    def failures(self) -> list[Row]:
        """Rows of methods that failed."""
        return [row for row in self.rows if row.error is not None]

    def done(self, method: str) -> dict[str, Row]:
        """Rows of a method on the images that it did not fail on, by image."""
        return {row.image: row for row in self.rows if row.method == method and row.error is None}

    def summary(self) -> dict[str, Summary]:
        """Means of each method, by method."""
        return {method: self._summary(method) for method in self.methods}

    def _summary(self, method: str) -> Summary:
        rows = list(self.done(method).values())
        metrics = {}
        for metric in self.metrics:
            if values := [value for row in rows if (value := metric.of(row)) is not None]:
                metrics[metric.name] = _mean_interval(tuple(values))
        return Summary(
            images=len(rows),
            failures=sum(row.method == method for row in self.failures),
            metrics=metrics,
            nfe=fmean(row.nfe for row in rows) if rows else None,
            seconds_per_plane=fmean(row.seconds_per_plane for row in rows) if rows else None,
        )

    def differences(self, reference: str) -> dict[str, Difference]:
        """Differences of each other method to a reference, by method.

        Args:
            reference: name of a method.

        Raises:
            EvaluationError: no row is of the reference.
        """
        if reference not in self.methods:
            known = ", ".join(self.methods)
            raise EvaluationError(f"no method '{reference}' to compare with; it was run with {known}")
        others = [method for method in self.methods if method != reference]
        return {method: self._difference(method, reference) for method in others}

    def _difference(self, method: str, reference: str) -> Difference:
        ours, theirs = self.done(method), self.done(reference)
        both = [image for image in ours if image in theirs]
        metrics = {}
        for metric in self.metrics:
            pairs = [(metric.of(ours[image]), metric.of(theirs[image])) for image in both]
            if known := [(a, b) for a, b in pairs if a is not None and b is not None]:
                metrics[metric.name] = _paired_difference(*zip(*known, strict=True))
        return Difference(len(both), metrics)

    def best(self, metric: Metric) -> str | None:
        """Method with the best mean, of those that denoised the most images, oracles apart.

        Args:
            metric: to compare the means of.

        Returns:
            Its name; None where the metric has no good end, or no method has the metric.
        """
        summary = {method: one for method, one in self.summary().items() if method not in self.oracles}
        most = max((one.images for one in summary.values()), default=0)
        means = {
            method: one.metrics[metric.name].mean
            for method, one in summary.items()
            if one.images == most and metric.name in one.metrics
        }
        if metric.best is None or not means:
            return None
        return str(metric.best(means, key=means.__getitem__))
