"""The gate of a channel: how far results of neighbouring planes may differ and yet show the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from baikal_deploy.pixels.arrays import Plane

Fuse = Literal["t", "z", "tz"]
"""Axes along which results are fused."""
NEIGHBOURS = {"t": 2, "z": 1}
"""Neighbours on either side that are looked at, by axis."""


@dataclass(frozen=True)
class Gate:
    """How far the results of a channel may differ and yet be taken to show the same.

    Attributes:
        left: variance of the noise that is left in a result, over that of the noise; the mean.
        shares: the same by how much structure there is, which holds more of it: (the fourth root of the
            variance of a result around a pixel, over that of the noise; the share), rising.
        allowed: factor on that variance up to which results along an axis may differ, by axis; 0: closed.
        coarse: share of that variance which is left in the mean over a wide window (``compared.WIDE``), by
            axis.
        gains: decibels between which what fusion brings is expected to lie.
    """

    left: float
    shares: Sequence[tuple[float, float]]
    allowed: Mapping[str, float]
    coarse: Mapping[str, float]
    gains: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def closed(cls, axes: Fuse) -> Self:
        """A gate that lets nothing through.

        Args:
            axes: along which results are to be fused.
        """
        return cls(0.0, ((0.0, 0.0),), dict.fromkeys(axes, 0.0), dict.fromkeys(axes, 1.0))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The gate whose fields these are, as JSON holds them."""
        shares = tuple((place, share) for place, share in record["shares"])
        return cls(**{**record, "shares": shares, "gains": tuple(record["gains"])})

    @property
    def is_closed(self) -> bool:
        """True if no neighbour is of use."""
        return not any(self.allowed.values())

    @property
    def planes(self) -> int:
        """Planes that are averaged at most, the plane itself among them."""
        return 1 + 2 * sum(NEIGHBOURS[axis] for axis, allowed in self.allowed.items() if allowed)

    def share(self, structure: Plane) -> Plane:
        """Variance of the noise that is left in a result, over that of the noise.

        Args:
            structure: variance of a result around each place, over that of the noise.
        """
        places, shares = np.transpose(self.shares)
        root = np.sqrt(np.sqrt(structure))  # no powers or logarithms: these depend on the processor
        found: Plane = np.interp(root, places, shares).astype(np.float32)
        return found
