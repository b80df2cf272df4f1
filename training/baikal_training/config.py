"""Options of the optimisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from baikal_deploy.errors import ConfigError

TimestepSampling = Literal["denoising", "uniform"]
Clock = Literal["wall", "cpu"]
DEFAULT_ITERATIONS = 6000


@dataclass(frozen=True)
class TrainingConfig:
    """Options of the optimisation.

    The learning rate rises linearly and falls, by a cosine, to zero at the end.

    Attributes:
        iterations: optimiser steps; None with ``minutes``.
        minutes: time to train for instead.
        clock: of ``minutes``: wall time, or CPU time of this process, which other work on the machine
            does not shorten.
        batch: crops per step, over all processes and accumulations.
        accumulate: parts that a batch is computed in, one after another, to save memory.
        crop: side of a crop in pixels.
        learning_rate, warm_up: peak of AdamW's learning rate, and the steps to reach it.
        ema: decay of the moving average of the weights.
        gradient_clip: largest norm of the gradient.
        timesteps: "uniform" as in Ho et al. 2020, or "denoising": noise levels log-uniform over
            those that noisy images have, with a tenth of the steps uniform.
        bf16: compute in bfloat16 where it is safe; weights stay float32.
        compiled: let torch.compile translate the network.
        seed: of initial weights, crops, timesteps and noise.
    """

    iterations: int | None = DEFAULT_ITERATIONS
    minutes: float | None = None
    clock: Clock = "wall"
    batch: int = 16
    accumulate: int = 1
    crop: int = 128
    learning_rate: float = 5e-4
    warm_up: int = 200
    ema: float = 0.999
    gradient_clip: float = 1.0
    timesteps: TimestepSampling = "denoising"
    bf16: bool = False
    compiled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "accumulate", "crop", "warm_up"):
            if getattr(self, name) < 1:
                raise ConfigError(f"training: {name} {getattr(self, name)}: must be at least 1")
        if (self.iterations is None) == (self.minutes is None):
            raise ConfigError("training: give either iterations or minutes")
        if self.iterations is not None and self.iterations < 1:
            raise ConfigError(f"training: iterations {self.iterations}: must be at least 1")
        for name in ("learning_rate", "gradient_clip", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"training: {name} {value}: must be a number greater than 0")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"training: ema {self.ema}: must be at least 0 and less than 1")
        if self.seed < 0:
            raise ConfigError(f"training: seed {self.seed}: must be at least 0")

    def progress(self, iteration: int, seconds: float) -> float:
        """The share of the training that is done, 0 … 1, after so many steps and so much time."""
        if self.minutes is not None:
            return min(1.0, seconds / (60 * self.minutes))
        assert self.iterations is not None
        return iteration / self.iterations

    def learning_rate_at(self, iteration: int, progress: float) -> float:
        rise = min(1.0, (iteration + 1) / self.warm_up)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * progress))

    def check_processes(self, processes: int) -> int:
        """Number of crops that one process computes at once.

        Raises:
            ConfigError: the batch is not divisible by the processes and accumulated parts.
        """
        parts = processes * self.accumulate
        if self.batch % parts:
            raise ConfigError(
                f"--batch {self.batch}: must be a multiple of {parts} "
                f"({processes} processes times {self.accumulate} accumulated parts)"
            )
        return self.batch // parts
