"""Repaint: Mixing in which blocks of steps are repeated (paper, algorithm 1 of its supplement)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from baikal_deploy.diffusion.samplers._mixing import MixingSampler
from baikal_deploy.diffusion.samplers._moves import Walk
from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Planes


@dataclass(frozen=True)
class Repaint(MixingSampler):
    """Mixing with every block of ``interval`` steps run ``repeats`` times.

    Preset "paper": the published Planaria setting, 420 network evaluations.

    Attributes:
        interval: steps in a block (the paper's U); None: the whole walk is one block.
        repeats: times that each block is run (the paper's R).
        renoise: between repeats, noise the block's result back up step by step (Lugmayr et al.
            2022); without it, it is fed back as it is, as in the paper.
        final_repeats: repeats of the blocks at or below ``stop``; None: ``repeats``.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "start": 100, "stop": 20, "w_start": 0.3, "w_end": 0.01, "steps": "1000", "clip": "unit",
            "interval": 1, "repeats": 5, "renoise": False, "final_repeats": 1,
        }
    }  # fmt: skip

    interval: int | None = None
    repeats: int = 3
    renoise: bool = True
    final_repeats: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("interval", "repeats", "final_repeats"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} {value}: must be at least 1")

    def evaluations(self, start: int, stop: int) -> int:
        """Network evaluations of a run: every step of a block as often as the block is repeated.

        Args:
            start: index of the first timestep.
            stop: index of the last one at which to mix.
        """
        return sum((top - bottom) * repeats for top, bottom, repeats in self._blocks(start, stop))

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(top, bottom, repeats) of each block: its steps are at indices top − 1 … bottom."""
        interval, final_repeats = self.interval or start, self.final_repeats or self.repeats
        top = start
        while top > 0:
            bottom = max(top - interval, 0)
            yield top, bottom, final_repeats if top <= stop else self.repeats
            top = bottom

    def walk(self, walk: Walk) -> Planes:
        """Diffuse, then mix at every reverse step, block by block, each repeated.

        Args:
            walk: the moves.

        Returns:
            x_0, (N, 1, H, W).
        """
        weights = self.mixing_weights(walk.start, walk.stop)
        x = walk.diffuse(walk.y)
        for top, bottom, repeats in self._blocks(walk.start, walk.stop):
            for repeat in range(repeats):
                if repeat > 0 and self.renoise:
                    for i in range(bottom, top):
                        x = walk.renoise(x, i)
                for i in reversed(range(bottom, top)):
                    x = self._mixed_step(walk, x, i, weights[i])
        return x
