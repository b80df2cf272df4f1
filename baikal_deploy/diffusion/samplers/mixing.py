"""Mixing: a walk back that keeps mixing in the diffused noisy plane (paper, eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from baikal_deploy.diffusion.samplers._mixing import MixingSampler
from baikal_deploy.diffusion.samplers._moves import Walk
from baikal_deploy.pixels.arrays import Planes


@dataclass(frozen=True)
class Mixing(MixingSampler):
    """Walk back from ``start`` and mix down to ``stop``. Preset "paper": the paper's Planaria range."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "start": 100, "stop": 20, "w_start": 0.3, "w_end": 0.01, "steps": "1000", "clip": "unit",
        }
    }  # fmt: skip

    def walk(self, walk: Walk) -> Planes:
        """Diffuse, then mix at every reverse step.

        Args:
            walk: the moves.

        Returns:
            x_0, (N, 1, H, W).
        """
        weights = self.mixing_weights(walk.start, walk.stop)
        x = walk.diffuse(walk.y)
        for i in reversed(range(walk.start)):
            x = self._mixed_step(walk, x, i, weights[i])
        return x
