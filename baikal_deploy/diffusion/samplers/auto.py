"""Auto: Matched, with as many evaluations as a budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.diffusion.samplers.matched import SYMMETRIES, Matched, ResolvedMatched
from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.errors import ConfigError

BUDGETS = {"preview": 1, "balanced": 2, "best": 8}


@dataclass(frozen=True)
class Auto(Sampler):
    """Sampler that measured best for a number of network evaluations (docs/results.md).

    Attributes:
        budget: "preview" (1 evaluation per plane), "balanced" (2), "best" (8), or a number of evaluations.
    """

    noise: Literal["uniform", "signal"] = "signal"
    budget: str = "balanced"

    def __post_init__(self) -> None:
        self._allowed()

    @property
    def chosen(self) -> Matched:
        """The sampler with as many symmetries as the budget holds."""
        symmetries = max(count for count in SYMMETRIES if count <= self._allowed())
        return Matched(noise=self.noise, symmetries=symmetries)

    def _allowed(self) -> float:
        """Network evaluations per plane."""
        try:
            allowed = BUDGETS.get(self.budget) or float(self.budget)
        except ValueError:
            names = ", ".join(BUDGETS)
            raise ConfigError(
                f"budget {self.budget}: give {names}, or network evaluations per plane"
            ) from None
        if not allowed >= 1:
            raise ConfigError(f"budget {self.budget}: a plane needs at least 1 network evaluation")
        return allowed

    def resolved(self, t_star: float, num_timesteps: int, variance: Variance) -> ResolvedMatched:
        """The chosen sampler at a timestep; see ``Sampler.resolved``.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.
        """
        return self.chosen.resolved(t_star, num_timesteps, variance)
