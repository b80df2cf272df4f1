"""Evaluation of every method on every pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from baikal_deploy.errors import BaikalError
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods import Model, Spec
from baikal_evaluation.methods.base import Method, Stack, Training
from baikal_evaluation.metrics import Definition, noise_levels, score
from baikal_evaluation.pairs import Pair
from baikal_evaluation.report import Panel
from baikal_evaluation.results import Row
from baikal_evaluation.store import Denoised, Store


@dataclass(frozen=True)
class Candidate:
    """A method that is ready to denoise, and the one whose prediction guides it."""

    name: str
    method: Method
    guide: Candidate | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides its predictions, as JSON holds it."""
        guide = None if self.guide is None else self.guide.identity
        return {"kind": type(self.method).__qualname__, "method": self.method.identity, "guide": guide}

    def denoise(self, pair: Pair, store: Store) -> Denoised:
        """Prediction for one image, from the store if it is there.

        Args:
            pair: the image; only oracles get its clean side.
            store: keeps predictions.

        Raises:
            BaikalError: the image cannot be read or denoised, and why.
        """
        made_from = {"image": pair.digest, **self.identity}
        found = store.find(made_from)
        if found is None:
            found = self._denoise(pair, store)
            store.keep(made_from, found)
        return found

    def _denoise(self, pair: Pair, store: Store) -> Denoised:
        noisy, clean = pair.read()
        guide = None if self.guide is None else self.guide.denoise(pair, store)
        started = time.perf_counter()
        prediction = self.method.denoise(
            noisy, clean if self.method.ORACLE else None, None if guide is None else guide.planes
        )
        seconds = (time.perf_counter() - started) / len(noisy)
        _check(self.name, prediction.planes, noisy)
        if guide is None:
            return Denoised(prediction.planes, prediction.nfe, seconds)
        return Denoised(prediction.planes, prediction.nfe + guide.nfe, seconds + guide.seconds)


def _check(name: str, planes: Stack, noisy: Stack) -> None:
    if planes.shape != noisy.shape:
        raise EvaluationError(f"{name}: predicted planes of shape {planes.shape} for {noisy.shape}")
    if not np.isfinite(planes).all():
        raise EvaluationError(f"{name}: predicted NaN or infinite values; no figure can be had of them")


def candidates(specs: Sequence[Spec], model: Model, training: Callable[[], Training]) -> list[Candidate]:
    """Methods that are ready to denoise; those that learn have learnt.

    Args:
        specs: the methods as they were asked for.
        model: of the samplers.
        training: gives what to learn from, when a method needs it.

    Raises:
        BaikalError: a method that cannot be had, or cannot learn.
    """
    read = cache(training)
    for spec in (*specs, *(Spec.parse(spec.guide) for spec in specs if spec.guide is not None)):
        _check_needs(spec.name, spec.make(model), read)  # what cannot be had is told before anything learns

    @cache
    def fitted(name: str) -> Method:
        method = Spec.parse(name).make(model)
        return method if method.NEEDS == "nothing" else method.fit(read())

    def make(spec: Spec) -> Candidate:
        method = spec.make(model) if spec.is_sampler else fitted(spec.name)
        guide = None if spec.guide is None else make(Spec.parse(spec.guide))
        return Candidate(spec.text, method, guide)

    return [make(spec) for spec in specs]


def _check_needs(name: str, method: Method, training: Callable[[], Training]) -> None:
    if method.NEEDS == "pairs" and training().images.clean is None:
        raise EvaluationError(f"{name}: learns from noisy and clean images; give some with --train")


def evaluate(
    pairs: Sequence[Pair],
    tried: Sequence[Candidate],
    store: Store,
    definition: Definition,
) -> Iterator[Row]:
    """Rows of every method on every pair, image by image.

    A method that fails on an image is a row that says so; the rest continues.

    Args:
        pairs: the images.
        tried: the methods.
        store: keeps predictions.
        definition: of the metrics.
    """
    for pair in pairs:
        for candidate in tried:
            try:
                yield _row(pair, candidate, candidate.denoise(pair, store), definition)
            except BaikalError as error:
                yield Row(pair.name, candidate.name, error=str(error))
            except Exception as error:  # of a method's library: any of them may fail on any image
                yield Row(pair.name, candidate.name, error=f"{type(error).__name__}: {error}")


def _row(pair: Pair, candidate: Candidate, denoised: Denoised, definition: Definition) -> Row:
    noisy, clean = pair.read()
    if clean is None:
        figures = noise_levels(noisy, denoised.planes)._asdict()
    else:
        figures = score(denoised.planes, clean, definition, pair.is_volume)._asdict()
    return Row(
        pair.name,
        candidate.name,
        nfe=denoised.nfe,
        seconds_per_plane=denoised.seconds,
        planes=len(noisy),
        **figures,
    )


def panel(pair: Pair, shown: Sequence[Candidate], store: Store) -> Panel:
    """One plane of an image as each method leaves it: volumes max-projected, else the middle plane.

    Args:
        pair: the image.
        shown: methods that did not fail on the image.
        store: has their predictions.

    Raises:
        BaikalError: the image cannot be read.
    """
    noisy, clean = (None if side is None else _shown(pair, side) for side in pair.read())
    assert noisy is not None, "a pair has a noisy side"
    planes = {one.name: _shown(pair, one.denoise(pair, store).planes) for one in shown}
    return Panel(pair.name, noisy, clean, planes).cropped()


def _shown(pair: Pair, planes: Stack) -> Stack:
    plane: Stack = planes.max(axis=0) if pair.is_volume else planes[len(planes) // 2]
    return plane
