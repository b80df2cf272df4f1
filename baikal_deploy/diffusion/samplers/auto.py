"""Auto: Matched, with as many evaluations as a budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from baikal_deploy.diffusion.samplers.base import Sampler
from baikal_deploy.diffusion.samplers.matched import STEPS, SYMMETRIES, Matched, ResolvedMatched
from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.spectrum import Spectrum

BUDGETS = {"preview": 1, "balanced": 2, "best": 8}


@dataclass(frozen=True)
class Auto(Sampler):
    """Sampler that measured best for a number of network evaluations (docs/results.md).

    Attributes:
        budget: "preview" (1 evaluation per plane), "balanced" (2), "best" (8), or a number of evaluations.
    """

    FEW_EVALUATIONS: ClassVar[bool] = True

    noise: Literal["uniform", "signal"] = "signal"
    budget: str = "balanced"

    def __post_init__(self) -> None:
        self._allowed()

    def chosen(self, correlated: bool) -> Matched:
        """The sampler with as many steps and symmetries as the budget holds.

        Args:
            correlated: whether pixels share the noise; then two steps come before symmetries.
        """
        steps = min(STEPS, int(self._allowed())) if correlated else 1
        symmetries = max(count for count in SYMMETRIES if count <= max(self._allowed() / steps, 1))
        return Matched(noise=self.noise, evaluations=steps, symmetries=symmetries)

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

    def resolved(
        self, t_star: float, num_timesteps: int, variance: Variance, spectrum: Spectrum | None = None
    ) -> ResolvedMatched:
        """The chosen sampler at a timestep; see ``Sampler.resolved``.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.
            spectrum: see ``Sampler.resolved``.
        """
        chosen = self.chosen(correlated=spectrum is not None)
        return chosen.resolved(t_star, num_timesteps, variance, spectrum)
