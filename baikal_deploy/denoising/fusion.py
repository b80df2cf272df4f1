"""Fusion: results of neighbouring planes, averaged where they differ by no more than the noise left in them.

A result is clean enough to tell a change from noise, which a frame is not. In the place of a plain mean,
each neighbour has a weight at each pixel, q / (q + c), with q the variance of the noise that is left in a
result, and c what the planes differ by around the pixel beyond it. Two numbers tell c, of which the larger
one counts: the mean square D of the difference of two results, which is 2q where they show the same, so that
D − 2q is left; and the square M of its mean, which is 2qr then, with r the share of q in such means. M is
more sensitive to what becomes brighter or darker as a whole: (M − 2·2qr) / r is left. The mean of all
neighbours is then compared to the plane in the same way, as it holds less noise than one of them. All of this
is computed in square cells, as it varies slowly, and weights are interpolated between them.
(Weights by windows, but for the mean: Buades et al. 2005, non-local means.)

Planes are on the network's scale; pixels that are not finite hold no result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from scipy.ndimage import gaussian_filter

from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.surroundings import BASE_REACH, base
from baikal_deploy.pixels.arrays import Mask, Plane
from baikal_deploy.pixels.cells import CELL, cell_sums, interpolated

Sides = Mapping[str, tuple[Sequence[Plane], Sequence[Plane]]]
"""Results of a plane's neighbours by axis: those before it and those after it, the nearest first."""

WIDTH, CUT = 3.0, 3.0
"""Sigma in pixels of the window in which results are compared, and the sigmas at which it is cut off."""
WHOLE = 0.999
"""Share of a window that is known from which on all of it is: the blur of 1 is not quite 1."""
LEAST_KNOWN = 0.05
"""Share of a window that must be known for two planes to be compared there."""
CHANCE = 2.0
"""Square of a mean, over its variance, that counts as chance."""
MOST_FRAMES = 6.0
"""Frames, at most, that the estimate of a stream counts for; with more it would follow changes too late."""
CELL_SIGMA = math.sqrt(WIDTH**2 - (CELL**2 - 1) / 12 - CELL**2 / 6) / CELL
"""Sigma of the Gaussian, in cells: a mean over a cell and linear interpolation add variances to its own."""
REACH = 2 * BASE_REACH + 2 * CELL * (int(CUT * CELL_SIGMA + 0.5) + 2)
"""Pixels that a fused pixel depends on around it: the surroundings of pixels that are filled in, and the
windows, in which a mean over windows is compared."""


def filled(plane: Plane) -> Plane:
    """A plane whose pixels without a result have the mean of what is around them.

    Args:
        plane: (H, W).
    """
    known = np.isfinite(plane)
    if known.all():
        return plane
    share = base(known.astype(np.float32))
    around = base(np.where(known, plane, np.float32(0))) / (share + np.float32(1e-3))
    return np.where(known, plane, around)


def gated(
    gate: Gate, own: Plane, sides: Sides, variance: Plane, rounding: float = 0.0
) -> tuple[Plane, Plane]:
    """A result with what its neighbours know, and the share of its own in it; see ``fuse``.

    Args:
        gate: of the channel.
        own: result of the plane, (H, W).
        sides: results of its neighbours.
        variance: of the noise of the plane, (H, W).
        rounding: variance of what the results were rounded by, which counts as noise that is left.
    """
    pairs = [(side, gate.allowed[axis]) for axis, both in sides.items() for side in both]
    left = [share and share * variance + np.float32(rounding) for _, share in pairs]
    return fuse(own, [side for side, _ in pairs], left, gate.coarse)


def fuse(
    own: Plane, sides: Sequence[Sequence[Plane]], left: Sequence[Plane | float], coarse: float = 1.0
) -> tuple[Plane, Plane]:
    """A result with what its neighbours know.

    Args:
        own: result of the plane, (H, W).
        sides: neighbours of each side, the nearest first. One counts at a pixel only if all between it and
            the plane have a result there: nothing is taken from beyond a gap.
        left: variance of the noise that is left in a result, for each side; (H, W), or one number. A side
            with 0 is left out.
        coarse: see ``Gate``.

    Returns:
        The fused result, (H, W), not finite where the plane holds none; and the share of its own in it.
    """
    known = np.isfinite(own)
    total, weights = np.zeros_like(own), np.zeros_like(own)
    spread, most, summed = (np.zeros_like(cells(own)) for _ in range(3))
    for neighbours, variance in zip(sides, left, strict=True):
        if not np.any(variance):
            continue
        q, reached = cells(np.broadcast_to(np.asarray(variance, np.float32), own.shape)), known
        most = np.maximum(most, q)
        for other in neighbours:
            reached = reached & np.isfinite(other)
            if not reached.any():
                break
            difference = np.subtract(other, own, out=np.zeros_like(own), where=reached)
            ratio = _ratio(q, change(difference, reached, 2 * q, coarse))
            weight = between(ratio, own.shape)
            weight *= reached
            weights += weight
            weight *= difference
            total += weight
            summed += ratio
            spread += np.square(ratio) * q
    if not weights.any():
        return own, np.ones_like(own)
    mean = np.divide(total, weights, out=np.zeros_like(own), where=weights > 0)
    noise = np.divide(spread, np.square(summed), out=np.zeros_like(most), where=summed > 0)
    together = between(_ratio(most, change(mean, weights > 0, most + noise, coarse)), own.shape)
    share: Plane = np.reciprocal(1 + together * weights)
    total *= together
    total *= share
    fused: Plane = own + total
    return fused, share


def change(difference: Plane, known: Mask, variance: Plane, coarse: float) -> Plane:
    """What two planes differ by around each cell beyond noise: a variance, infinite where little is known.

    Args:
        difference: (H, W), 0 where it is not known.
        known: where it is.
        variance: of the noise in it, of each cell.
        coarse: see ``Gate``.
    """
    share = _share(known)
    squares, means = _over(_sums(np.square(difference)), share), _over(_sums(difference), share)
    beyond = np.square(means) - np.float32(CHANCE * coarse) * variance
    found: Plane = np.maximum(np.maximum(squares - variance, beyond / np.float32(coarse)), 0)
    return found


def window_mean(plane: Plane) -> Plane:
    """Mean in the Gaussian window around each cell: (H, W) -> (H/CELL, W/CELL), rounded up.

    Args:
        plane: (H, W), finite.
    """
    return _over(_sums(plane), _share(np.ones(plane.shape, bool)))


def cells(plane: Plane) -> Plane:
    """Mean of each cell: (H, W) -> (H/CELL, W/CELL), rounded up."""
    found: Plane = cell_sums(_whole(plane, "edge")) * np.float32(CELL**-2)
    return found


def between(values: Plane, shape: tuple[int, ...]) -> Plane:
    """Values of cells, interpolated to pixels: (h, w) -> (H, W).

    Args:
        values: of the cells.
        shape: (H, W).
    """
    return interpolated(values)[: shape[0], : shape[1]]


def _ratio(q: Plane, beyond: Plane) -> Plane:
    """q / (q + beyond), and 0 where there is no noise."""
    whole = q + beyond
    ratio: Plane = np.divide(q, whole, out=np.zeros_like(beyond), where=whole > 0)
    return ratio


def _share(known: Mask) -> Plane | None:
    """Known pixels of the window around each cell, as ``_sums`` counts them; None: all of every one."""
    if known.all() and not any(side % CELL for side in known.shape):
        return None
    share = _sums(known.astype(np.float32))
    return np.where(share > WHOLE * CELL**2, np.float32(CELL**2), share)


def _over(sums: Plane, share: Plane | None) -> Plane:
    if share is None:
        return sums * np.float32(CELL**-2)
    return np.divide(sums, share, out=np.full_like(sums, np.inf), where=share > LEAST_KNOWN * CELL**2)


def _sums(plane: Plane) -> Plane:
    """Sums over cells, blurred: what is beyond the plane counts as 0."""
    sums: Plane = gaussian_filter(cell_sums(_whole(plane, "constant")), CELL_SIGMA, truncate=CUT)
    return sums


def _whole(plane: Plane, mode: Literal["edge", "constant"]) -> Plane:
    """A plane with whole cells."""
    padding = [(0, -side % CELL) for side in plane.shape]
    return np.pad(plane, padding, mode=mode) if any(pad for _, pad in padding) else plane


@dataclass(frozen=True)
class Running:
    """State of a stream whose frames are fused as they come: with those before, and none that follow.

    Attributes:
        estimate: of what the last frame shows, (H, W).
        frames: that it counts for at each pixel, (H, W).
    """

    estimate: Plane
    frames: Plane

    @classmethod
    def first(cls, own: Plane) -> Self:
        """The state after a first frame.

        Args:
            own: its result, (H, W).
        """
        return cls(own, np.ones_like(own))

    def after(self, own: Plane, left: Plane | float, coarse: float = 1.0) -> Self:
        """The state after another frame, which the estimate then is of.

        Args:
            own: its result, of the same shape.
            left: variance of the noise that is left in a result; (H, W), or one number.
            coarse: see ``Gate``.
        """
        reached = np.isfinite(own) & np.isfinite(self.estimate)
        q, frames = cells(np.broadcast_to(np.asarray(left, np.float32), own.shape)), cells(self.frames)
        difference = np.subtract(self.estimate, own, out=np.zeros_like(own), where=reached)
        changed = change(difference, reached, q + q / frames, coarse)
        weight: Plane = self.frames * between(_ratio(q, changed * frames), own.shape) * reached
        estimate: Plane = own + weight / (weight + 1) * difference
        return type(self)(estimate, np.minimum(weight + 1, np.float32(MOST_FRAMES)))

    @property
    def is_another_scene(self) -> bool:
        """True if hardly a pixel of the last frame was taken for what was there before."""
        return float(np.mean(self.frames > 1 + SAME)) < CUT_SHARE


SAME, CUT_SHARE = 0.1, 0.05
"""Weight of what was before from which on a pixel shows the same; share of such pixels below which a frame is
another scene."""
