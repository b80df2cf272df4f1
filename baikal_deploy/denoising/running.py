"""Results that are fused as they come: with those before them, and none that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from baikal_deploy.denoising.compared import Result, between, cells, change, ratio
from baikal_deploy.pixels.arrays import Plane

MOST_FRAMES = 6.0
"""Frames, at most, that the estimate of a stream counts for; with more it would follow changes too late."""
SAME, CUT_SHARE = 0.1, 0.05
"""Weight of what was before from which on a pixel shows the same; share of such pixels below which a frame is
another scene."""


@dataclass(frozen=True)
class Running:
    """State of a stream after a frame.

    Attributes:
        estimate: of what the last frame shows, (H, W), with the noise that was left in its result.
        frames: that it counts for at each pixel, (H, W).
    """

    estimate: Result
    frames: Plane

    @classmethod
    def first(cls, own: Result) -> Self:
        """The state after a first frame.

        Args:
            own: its result.
        """
        return cls(own, np.ones_like(own.plane))

    def after(self, own: Result, allowed: float, coarse: float) -> Self:
        """The state after another frame, which the estimate then is of.

        Args:
            own: its result, of the same shape.
            allowed, coarse: of the gate, along t.
        """
        before = self.estimate
        known = np.isfinite(own.plane) & np.isfinite(before.plane)
        q, frames = np.minimum(own.left, before.left) * np.float32(allowed), cells(self.frames)
        difference = np.subtract(before.plane, own.plane, out=np.zeros_like(own.plane), where=known)
        changed = change(difference, known, q + q / frames, coarse)
        weight: Plane = self.frames * between(ratio(q, changed * frames), own.plane.shape) * known
        estimate: Plane = own.plane + weight / (weight + 1) * difference
        return type(self)(Result(estimate, own.left), np.minimum(weight + 1, np.float32(MOST_FRAMES)))

    @property
    def is_another_scene(self) -> bool:
        """True if hardly a pixel of the last frame was taken for what was there before."""
        return float(np.mean(self.frames > 1 + SAME)) < CUT_SHARE
