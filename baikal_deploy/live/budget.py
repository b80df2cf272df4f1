"""The number of network evaluations that a frame gets, so that a latency is held."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from baikal_deploy.diffusion.samplers.auto import Auto
from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.diffusion.samplers.matched import STEPS, SYMMETRIES, Matched
from baikal_deploy.errors import ConfigError

MEMORY = 0.8
"""Weight of what was known before in the running mean of the time of an evaluation."""
RESERVE = 1.25
"""Factor by which an evaluation may take longer than the mean."""


@dataclass
class Budget:
    """A budget of time for each frame; learns how long an evaluation takes.

    Attributes:
        latency: in seconds; None: every frame gets what the sampler says.
        seconds: that a frame took for each evaluation, lately; None before the first.
    """

    latency: float | None
    seconds: float | None = None

    @classmethod
    def of(cls, sampler: Sampler, latency_ms: float | None) -> Self:
        """The budget for a latency in milliseconds; None: no bound.

        Raises:
            ConfigError: a latency that is not greater than 0, or a sampler whose evaluations are fixed.
        """
        if latency_ms is None:
            return cls(None)
        if not latency_ms > 0:
            raise ConfigError(f"latency_ms {latency_ms}: must be greater than 0")
        if not isinstance(sampler, Matched | Auto):
            raise ConfigError(
                "latency_ms: this sampler has a fixed number of evaluations; take matched, or leave it out"
            )
        return cls(latency_ms / 1e3)

    def fitting(self, sampler: Sampler, waited: float, waiting: int, correlated: bool = False) -> Sampler:
        """The sampler with as many steps and symmetries as fit.

        Args:
            sampler: as asked for.
            waited: seconds since the frame came.
            waiting: frames behind it, which get as much of the time that is left.
            correlated: whether the noise is not white, and takes STEPS steps unless there is time for fewer.
        """
        if self.latency is None:
            return sampler
        matched = sampler.chosen(correlated) if isinstance(sampler, Auto) else sampler
        assert isinstance(matched, Matched), "checked when it was made"
        left = (self.latency - waited) / (1 + waiting)
        most = max(1.0 if self.seconds is None else left / (RESERVE * self.seconds), 1.0)
        steps = matched.evaluations or (min(STEPS, int(most)) if correlated else 1)
        symmetries = max(count for count in SYMMETRIES if count <= max(most / steps, 1))
        return replace(matched, evaluations=steps, symmetries=symmetries)

    def learn(self, evaluations: int, seconds: float) -> None:
        """Learn that a frame took so long for so many evaluations; a frame without any teaches nothing."""
        if evaluations:
            found = seconds / evaluations
            self.seconds = found if self.seconds is None else MEMORY * self.seconds + (1 - MEMORY) * found
