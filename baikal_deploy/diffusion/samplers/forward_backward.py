"""Forward-Backward: diffuse the noisy plane to t', then denoise (paper, eq. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from baikal_deploy.diffusion.samplers._moves import Walk
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.pixels.arrays import Planes


@dataclass(frozen=True)
class ForwardBackward(WalkSampler):
    """Diffuse to ``start`` and walk back. Preset "paper": all timesteps below 100, clip [−1, 1]."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"start": 100, "steps": "1000", "clip": "unit"}}

    def walk(self, walk: Walk) -> Planes:
        """Diffuse, then take every reverse step.

        Args:
            walk: the moves.

        Returns:
            x_0, (N, 1, H, W).
        """
        x = walk.diffuse(walk.guide)
        for i in reversed(range(walk.start)):
            x = walk.reverse(x, i)
        return x
