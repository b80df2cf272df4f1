"""Posterior: plausible clean planes, drawn by walking back from the noise that is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from baikal_deploy.diffusion.samplers._moves import Walk
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.pixels.arrays import Planes


@dataclass(frozen=True)
class Posterior(WalkSampler):
    """Ancestral steps (Ho et al. 2020) from the plane itself at its own noise level.

    One run is one draw, as sharp as what the network was trained on, and another one for every seed; the
    mean of many approaches what ``matched`` finds in one evaluation, and their spread is its uncertainty.
    """

    TAKES_GUIDE: ClassVar[bool] = False

    noise: Literal["uniform", "signal"] = "signal"

    def walk(self, walk: Walk) -> Planes:
        """Take the planes as they are for the start, then every reverse step.

        Args:
            walk: the moves.

        Returns:
            x_0, (N, 1, H, W).
        """
        x = walk.take(walk.y)
        for i in reversed(range(walk.start)):
            x = walk.reverse(x, i)
        return x
