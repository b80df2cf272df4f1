"""What kind of structure a channel shows, as far as its denoised estimate tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from baikal_deploy.measurement.structure.classifier import classifier
from baikal_deploy.measurement.structure.features import features
from baikal_deploy.pixels.arrays import Plane

MOST_WINDOWS = 3
"""Windows that are looked at; more would cost time and tell little."""
SURE = 0.6
"""Probability from which on a structure is named."""
DIGITS = 4
"""Decimals of what is recorded, so that a record does not depend on the machine's last bits."""


@dataclass(frozen=True)
class Recognised:
    """What a channel looks like.

    Attributes:
        probabilities: of each kind of structure; empty where nothing can be told.
        place: of its features among those of many images (see ``Classifier.places``); empty likewise.
        reason: why nothing can be told, in words; "" if something can.
    """

    probabilities: Mapping[str, float] = field(default_factory=dict)
    place: tuple[float, ...] = ()
    reason: str = ""

    @property
    def structure(self) -> str | None:
        """The structure it looks like; None: that cannot be told."""
        name = max(self.probabilities, key=self.probabilities.__getitem__, default=None)
        return name if name is not None and self.probabilities[name] >= SURE else None

    def probability(self, structures: Sequence[str]) -> float:
        """The probability that it shows one of some structures."""
        return sum(self.probabilities.get(name, 0.0) for name in structures)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What ``dataclasses.asdict`` made a record of."""
        return cls(dict(record["probabilities"]), tuple(record["place"]), record["reason"])


def recognise(windows: Sequence[Plane]) -> Recognised:
    """Tell what denoised windows of a channel show.

    Args:
        windows: (H, W) each, denoised, on any one scale of intensities; MOST_WINDOWS of them, those with the
            most contrast, are looked at.

    Returns:
        What they show; nothing where they are too small or constant.
    """
    vectors = [found for window in _telling(windows) if (found := features(window)) is not None]
    if not vectors:
        return Recognised(reason="its planes are too small, or constant")
    known, stacked = classifier(), np.stack(vectors)
    odds = known.log_odds(stacked).mean(axis=0)
    shares = np.exp(odds - odds.max())
    shares /= shares.sum()
    place = known.places(stacked).mean(axis=0)
    return Recognised(
        {name: round(float(share), DIGITS) for name, share in zip(known.names, shares, strict=True)},
        tuple(round(float(value), DIGITS) for value in place),
    )


def _telling(windows: Sequence[Plane]) -> list[Plane]:
    contrasts = [float(window.std()) if window.size else 0.0 for window in windows]
    order = sorted(range(len(windows)), key=lambda index: (-contrasts[index], index))
    return [windows[index] for index in sorted(order[:MOST_WINDOWS])]
