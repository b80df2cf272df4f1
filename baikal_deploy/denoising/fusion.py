"""Fusion: results of neighbouring planes, averaged where they differ by no more than the noise left in them.

A result is clean enough to tell a change from noise, which a frame is not. In the place of a plain mean,
each neighbour has a weight at each pixel, q / (q + c), with q the variance of the noise that is left in a
result, and c what the planes differ by around the pixel beyond it (see ``compared``); along t, small weights
are cut off. The mean of all neighbours is then compared to the plane in the same way, as it holds less noise
than one of them. Of two results the smaller q counts: where something appears in one of them, that one has
the structure.
(Weights by windows, but for the mean: Buades et al. 2005, non-local means.)

Planes are on the network's scale; pixels that are not finite hold no result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from baikal_deploy.denoising.compared import Result, between, change, ratio
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.pixels.arrays import Mask, Plane

Sides = Mapping[str, tuple[Sequence[Plane], Sequence[Plane]]]
"""Results of a plane's neighbours by axis: those before it and those after it, the nearest first."""
LEAST = {"t": 0.1, "z": 0.0}
"""Weight below which a neighbour shows another scene, by axis: small ones of a flash are a ghost of it."""


@dataclass(frozen=True)
class Side:
    """Neighbours on one side of a plane.

    Attributes:
        results: the nearest first. One counts at a pixel only if all between it and the plane have a result
            there: nothing is taken from beyond a gap.
        allowed, coarse: of the gate, along this axis. A side with 0 is left out.
        least: see ``LEAST``.
    """

    results: Sequence[Result]
    allowed: float
    coarse: float
    least: float = 0.0

    def cut(self, weights: Plane) -> Plane:
        """Weights without those that are next to none, which fade away.

        Args:
            weights: of one of the results, of each cell.
        """
        if not self.least:
            return weights
        kept: Plane = weights * np.clip(weights / np.float32(self.least) - 1, 0, 1)
        return kept


def sides_of(gate: Gate, sides: Mapping[str, Sequence[Sequence[Result]]]) -> list[Side]:
    """The sides of a plane.

    Args:
        gate: of the channel.
        sides: the results on each side, by axis.
    """
    return [
        Side(results, gate.allowed[axis], gate.coarse[axis], LEAST[axis])
        for axis, both in sides.items()
        for results in both
    ]


@dataclass(frozen=True)
class Fused:
    """A result that was fused with its neighbours.

    Attributes:
        plane: the result, (H, W), not finite where the plane holds none.
        share: of its own in it, (H, W).
        data: what the results were made of, averaged with the same weights, (H, W); None where not asked for.
        noise: variance of the noise in that, over that of one plane's, (H, W): the sum of the squared
            weights.
    """

    plane: Plane
    share: Plane
    data: Plane | None
    noise: Plane | None


def fuse(own: Result, sides: Sequence[Side]) -> Fused:
    """A result with what its neighbours know.

    Args:
        own: the result, of (H, W) pixels; ``Fused.data`` is made if it has data, as its neighbours then do.
        sides: its neighbours on each side.
    """
    mean = _Mean.none(own)
    for side in sides:
        known = np.isfinite(own.plane)
        for other in side.results if side.allowed else ():
            known &= np.isfinite(other.plane)
            if not known.any():
                break
            mean.add(own, other, known, side)
    return mean.fused(own)


@dataclass
class _Mean:
    """The weighted mean of what neighbours differ from a plane by, as they come.

    Attributes:
        total, weights: weighted sum of the differences, and sum of the weights, (H, W).
        least: the smallest variance of the noise left in any of the results, of each cell.
        spread, summed: sum of the squared weights times that variance, and of the weights, of each cell.
        coarse: the largest of those of the neighbours.
        data, squares: weighted sum of what data differ by, and sum of the squared weights, (H, W); None: not
            asked for.
    """

    total: Plane
    weights: Plane
    least: Plane
    spread: Plane
    summed: Plane
    coarse: float = 0.0
    data: Plane | None = None
    squares: Plane | None = None

    @classmethod
    def none(cls, own: Result) -> _Mean:
        pixels, noise = np.zeros_like(own.plane), np.zeros_like(own.left)
        mean = cls(pixels, pixels.copy(), np.full_like(noise, np.inf), noise, noise.copy())
        if own.data is not None:
            mean.data, mean.squares = pixels.copy(), pixels.copy()
        return mean

    def add(self, own: Result, other: Result, known: Mask, side: Side) -> None:
        q = np.minimum(own.left, other.left) * np.float32(side.allowed)
        difference = np.subtract(other.plane, own.plane, out=np.zeros_like(own.plane), where=known)
        found = side.cut(ratio(q, change(difference, known, 2 * q, side.coarse)))
        weight = between(found, own.plane.shape)
        weight *= known
        self.weights += weight
        if self.data is not None and self.squares is not None:
            assert own.data is not None  # all results of a series have it, or none
            assert other.data is not None
            self.data += weight * (other.data - own.data)
            self.squares += np.square(weight)
        weight *= difference
        self.total += weight
        self.summed += found
        self.spread += np.square(found) * q
        self.least, self.coarse = np.minimum(self.least, q), max(self.coarse, side.coarse)

    def fused(self, own: Result) -> Fused:
        if not self.weights.any():
            alone = np.ones_like(own.plane)
            return Fused(own.plane, alone, own.data, None if own.data is None else alone)
        known = self.weights > 0
        mean = np.divide(self.total, self.weights, out=np.zeros_like(self.total), where=known)
        summed = np.square(self.summed)
        noise = np.divide(self.spread, summed, out=np.zeros_like(summed), where=summed > 0)
        beyond = change(mean, known, self.least + noise, self.coarse)
        together = between(ratio(self.least, beyond), own.plane.shape)
        share: Plane = np.reciprocal(1 + together * self.weights)
        plane: Plane = own.plane + self.total * together * share
        if own.data is None or self.data is None or self.squares is None:
            return Fused(plane, share, None, None)
        noise = np.square(share) * (1 + np.square(together) * self.squares)
        return Fused(plane, share, own.data + self.data * together * share, noise)
