"""The gate of a channel: how far results of neighbouring planes may differ and yet show the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

Fuse = Literal["t", "z", "tz"]
"""Axes along which results are fused."""
NEIGHBOURS = {"t": 2, "z": 1}
"""Neighbours on either side that are looked at, by axis."""


@dataclass(frozen=True)
class Gate:
    """How far the results of a channel may differ and yet be taken to show the same.

    Attributes:
        left: variance of the noise that is left in a result, over that of the noise.
        allowed: what is taken for it when neighbours along an axis are compared, by axis; 0: closed.
        coarse: share of that variance which is left in the mean over a window (``fusion.WIDTH``).
        gain: decibels that fusion is expected to bring.
    """

    left: float
    allowed: Mapping[str, float]
    coarse: float = 1.0
    gain: float = 0.0

    @classmethod
    def closed(cls, axes: Fuse) -> Self:
        """A gate that lets nothing through.

        Args:
            axes: along which results are to be fused.
        """
        return cls(0.0, dict.fromkeys(axes, 0.0))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The gate whose fields these are, as JSON holds them."""
        return cls(**record)

    @property
    def is_closed(self) -> bool:
        """True if no neighbour is of use."""
        return not any(self.allowed.values())
