"""One evaluation from a data set on disk to a folder of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from baikal_deploy.errors import ConfigError
from baikal_evaluation.evaluation import Candidate, candidates, evaluate
from baikal_evaluation.methods import Model, Spec
from baikal_evaluation.methods.base import MINUTES, Training, TrainingImages
from baikal_evaluation.metrics import Definition
from baikal_evaluation.output import make_folder, results_of, write_results
from baikal_evaluation.pairs import Pair, find_pairs
from baikal_evaluation.results import Results
from baikal_evaluation.store import Store

Progress = Callable[[str, int, int], None]
"""(what is being done, how many are done, of how many) -> None."""


@dataclass(frozen=True)
class Evaluation:
    """Settings of an evaluation: what is evaluated, and how.

    Attributes:
        pairs: see ``pairs.find_pairs``.
        output: folder for the results, for what was denoised and for what was learnt.
        methods: see ``methods.Spec``.
        model: of the samplers.
        definition: of the metrics.
        channel: number (from 0) or name, of images with several.
        train: pairs to learn from; None: the noisy side of ``pairs``.
        minutes: CPU time that each method may learn for.

    Raises:
        ConfigError: no time to learn, or no method.
    """

    pairs: Path
    output: Path
    methods: tuple[str, ...]
    model: Model = field(default_factory=Model)
    definition: Definition = field(default_factory=Definition)
    channel: int | str | None = None
    train: Path | None = None
    minutes: float = MINUTES

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise ConfigError(f"minutes {self.minutes}: must be above 0")
        if not self.methods:
            raise ConfigError("there is no method to evaluate; name one, such as noisy")

    def run(self, progress: Progress) -> Results:
        """Learn, denoise, compare, and write results.csv, results.json and report.html.

        Args:
            progress: is called as the work advances.

        Raises:
            BaikalError: there is nothing to compare, a method cannot be had, or results cannot be
                written. A method that fails on an image is a row of the results.
        """
        specs = [Spec.parse(text) for text in dict.fromkeys(self.methods)]
        pairs = find_pairs(self.pairs, self.channel)
        make_folder(self.output)
        progress("learning", 0, len(specs))
        tried = candidates(specs, self.model, partial(self._training, pairs))
        store = Store(self.output / "predictions")
        results = compare(pairs, tried, store, self.definition, progress)
        write_results(self.output, results, pairs, tried, store)
        return results

    def _training(self, pairs: list[Pair]) -> Training:
        """Images that methods learn from.

        Without ``train`` they are those that are to be denoised, but never their clean side.
        """
        read = [
            pair.read() for pair in (pairs if self.train is None else find_pairs(self.train, self.channel))
        ]
        clean = [side for _, side in read if side is not None and self.train is not None]
        return Training(
            TrainingImages(
                tuple(noisy for noisy, _ in read), tuple(clean) if len(clean) == len(read) else None
            ),
            self.minutes,
            self.model.seed,
            self.output / "learnt",
        )


def compare(
    pairs: list[Pair], tried: list[Candidate], store: Store, definition: Definition, progress: Progress
) -> Results:
    """Results of every method on every pair.

    Args:
        pairs: the images.
        tried: the methods.
        store: keeps predictions.
        definition: of the metrics.
        progress: is called after each row.
    """
    count, rows = len(pairs) * len(tried), []
    for row in evaluate(pairs, tried, store, definition):
        rows.append(row)
        progress("denoising", len(rows), count)
    return results_of(rows, definition, tried)
