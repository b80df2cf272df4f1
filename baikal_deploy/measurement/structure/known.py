"""What a model knows, and whether a channel shows that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from baikal_deploy.measurement.structure.classifier import structure_names
from baikal_deploy.measurement.structure.density import Density
from baikal_deploy.measurement.structure.recognised import Recognised

Verdict = Literal["known", "unseen", "unknown"]
"""Whether a model knows what a channel shows; unknown: that cannot be told."""

WORDS = {
    "nuclei": "nuclei",
    "fibres": "fibres or organelles (actin, microtubules, mitochondria, vesicles)",
    "membranes": "membranes or outlines of cells",
    "bright field": "bright field or phase contrast",
}
"""What the classifier's structures are called in sentences."""
LIKELY, UNLIKELY = 0.5, 0.3
"""Probability of a model's structures from which on it knows them, and below which it does not."""
MOST_STRUCTURES = 64
FAR = 1.5
"""Distance, over the limit of a density, from which on a channel is not of the images that it is of."""


@dataclass(frozen=True)
class Known:
    """What a model knows.

    Attributes:
        structures: kinds that it learnt, of the classifier's names.
        density: of the images that a user's own model learnt from.
    """

    structures: tuple[str, ...] = ()
    density: Density | None = None

    def judge(self, seen: Recognised) -> Verdict:
        """Whether a channel shows what the model knows."""
        if not seen.place or (not self.structures and self.density is None):
            return "unknown"
        if self.density is not None:
            distance = self.density.distance(seen.place)
            return "known" if distance <= 1 else "unseen" if distance > FAR else "unknown"
        probability = seen.probability(self.structures)
        return "known" if probability >= LIKELY else "unseen" if probability < UNLIKELY else "unknown"

    def record(self) -> dict[str, Any]:
        """What it knows, as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What ``record`` made.

        Raises:
            ValueError: structures that nobody knows, or see ``Density.from_record``.
            KeyError, TypeError: something is missing, or of another type.
        """
        names, density = record["structures"], record["density"]
        if (
            not isinstance(names, list)
            or len(names) > MOST_STRUCTURES
            or not set(names) <= set(structure_names())
        ):
            raise ValueError(f"structures: must be a list of {', '.join(structure_names())}")
        return cls(tuple(names), None if density is None else Density.from_record(density))


@dataclass(frozen=True)
class Finding:
    """What a channel looks like, and whether the model knows that.

    Attributes:
        seen: what it looks like.
        verdict: whether the model knows it.
        model: its name.
        knows: the kinds of structure that it learnt.
        others: shipped models that know what the channel looks like, where this one does not.
    """

    seen: Recognised
    verdict: Verdict
    model: str
    knows: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, seen: Recognised, known: Known, model: str) -> Self:
        """The finding for a model."""
        return cls(seen, known.judge(seen), model, known.structures)

    def with_others(self, others: tuple[str, ...]) -> Self:
        """The same with other models to try."""
        return replace(self, others=others)

    def notes(self) -> list[str]:
        """What a user should read: nothing, unless the model has not seen the like."""
        if self.verdict != "unseen":
            return []
        like = self.seen.structure
        looks = (
            f"does not look like {' or '.join(WORDS[name] for name in self.knows)}"
            if like is None
            else f"looks like {WORDS[like]}"
        )
        if not self.knows:
            looks = "does not look like the images that it learnt from"
        advice = "train it on such images (docs/training.md), and compare the result with the raw data"
        if self.others:
            advice = f"try {' or '.join(f'--model {name}' for name in self.others)}, or {advice}"
        return [f"{looks}, which model {self.model} has not seen: {advice}"]

    @property
    def words(self) -> str:
        """What it looks like where the model knows that; "" otherwise."""
        if self.verdict != "known":
            return ""
        like = self.seen.structure
        what = "what it learnt from" if like is None else WORDS[like]
        return f"looks like {what}, which model {self.model} knows"

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What ``dataclasses.asdict`` made a record of."""
        seen = Recognised.from_record(record["seen"])
        return cls(
            **{**record, "seen": seen, "knows": tuple(record["knows"]), "others": tuple(record["others"])}
        )
