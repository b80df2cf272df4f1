"""Mixing weights, for the samplers that mix the diffused plane into their walk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.diffusion.samplers._moves import Walk
from baikal_deploy.diffusion.samplers._walk import ResolvedWalk, WalkSampler
from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.pixels.arrays import Planes


@dataclass(frozen=True)
class MixingSampler(WalkSampler):
    """A sampler that mixes at the timesteps from ``start`` down to ``stop``.

    Attributes:
        stop: last (lowest) timestep at which to mix; None: ``stop_scale`` times t*.
        stop_scale: see ``stop``.
        weights: how the weight falls from ``w_start`` at ``start`` to ``w_end`` at ``stop``;
            "constant" is ``w_start`` throughout. A weight counts per step: it does not carry over
            to another number of steps.
        w_start, w_end: weights of the diffused plane, 0 … 1.
        mix: "after" each reverse step, as the authors' code does, or "before" it, as in eq. 5.
    """

    start_scale: float = 1.45
    stop: int | None = None
    stop_scale: float = 0.5
    weights: Literal["constant", "linear", "cosine", "exponential"] = "linear"
    w_start: float = 0.5
    w_end: float = 0.05
    mix: Literal["after", "before"] = "after"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop is not None and self.stop < 0:
            raise ConfigError(f"stop {self.stop}: must be at least 0")
        if not 0 <= self.stop_scale < np.inf:
            raise ConfigError(f"stop_scale {self.stop_scale}: must be a number of at least 0")
        for name in ("w_start", "w_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}: must lie within 0 … 1")

    def resolved(
        self, t_star: float, num_timesteps: int, variance: Variance, spectrum: Spectrum | None = None
    ) -> ResolvedWalk:
        """The walk with start, stop and variance settled; see ``Sampler.resolved``.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.
            spectrum: not used: walks take noise for white.

        Raises:
            ConfigError: a start that the model does not have, or a stop above the start.
        """
        walk = super().resolved(t_star, num_timesteps, variance, spectrum)
        stop = min(round(self.stop_scale * t_star), walk.start) if self.stop is None else self.stop
        if stop > walk.start:
            raise ConfigError(f"stop {stop}: out of range; it must not lie above start {walk.start}")
        return replace(walk, stop=stop)

    def mixing_weights(self, start: int, stop: int) -> NDArray[np.float64]:
        """The weight at each index below that of ``start``; 0 below that of ``stop``: (start,).

        Args:
            start: index of the first timestep.
            stop: index of the last one at which to mix.
        """
        weights = np.zeros(start)
        if start > stop:
            weights[stop:] = self._curve(np.arange(stop, start), start, stop)
        return weights

    def _curve(self, i: NDArray[np.int64], start: int, stop: int) -> NDArray[np.float64]:
        if self.weights == "constant":
            return np.full(len(i), self.w_start)
        if self.weights == "linear":
            return np.linspace(self.w_end, self.w_start, len(i))
        if self.weights == "cosine":
            shape = np.cos((i - start) / (stop - start) * np.pi / 2)
        else:
            shape = np.exp(0.1 * (i - start))
        return shape * (self.w_start - self.w_end) + self.w_end

    def _mixed_step(self, walk: Walk, x: Planes, i: int, weight: float) -> Planes:
        """One reverse step at index i, mixed with the diffused plane before or after it."""
        if self.mix == "before":
            return walk.reverse(walk.mix(x, i, weight), i)
        return walk.mix(walk.reverse(x, i), i, weight)
