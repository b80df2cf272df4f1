"""Samplers that walk back along a noise schedule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from baikal_deploy.diffusion.samplers._moves import Clip, Stretch, Walk
from baikal_deploy.diffusion.samplers.base import FINISHED, Noise, Predict, Resolved, Sampler
from baikal_deploy.diffusion.schedule import NoiseSchedule, Variance, parse_respacing
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.pixels.arrays import Planes, array_namespace

WALK_HALO = 64
"""Halo of walks, in pixels; see ``Resolved.halo``."""


@dataclass(frozen=True)
class WalkSampler(Sampler):
    """A sampler that walks back from a timestep. They are original ones, 0 … T−1, whatever the respacing.

    Attributes:
        start: timestep t' to which the noisy plane is diffused; None: ``start_scale`` times the
            timestep t* whose noise level is that of the plane.
        start_scale: see ``start``.
        steps: respacing, "N", "ddimN" or "walkN" (see schedule.parse_respacing). A coarse "N" or "ddimN"
            starts well above the first noise level that the network is told; "walkN" does not.
        clip: "observed" clips x̂0 to [−1.15, 2.2], widened at each pixel to what was observed there;
            "unit" clips to [−1, 1], as the authors do.
        variance: of a reverse step; "model" is what the model was trained for.
        runs: independent runs whose mean is the result.
    """

    TAKES_GUIDE: ClassVar[bool] = True

    start: int | None = None
    start_scale: float = 1.0
    steps: str = "walk10"
    clip: Clip = "observed"
    variance: Variance | Literal["model"] = "model"
    runs: int = 1

    def __post_init__(self) -> None:
        if self.start is not None and self.start < 1:
            raise ConfigError(f"start {self.start}: must be at least 1")
        if not 0 < self.start_scale < np.inf:
            raise ConfigError(f"start_scale {self.start_scale}: must be a number greater than 0")
        if self.runs < 1:
            raise ConfigError(f"runs {self.runs}: must be at least 1")

    @property
    def draws(self) -> int:
        """Random draws whose mean the result is: one for each run."""
        return self.runs

    def resolved(
        self, t_star: float, num_timesteps: int, variance: Variance, spectrum: Spectrum | None = None
    ) -> ResolvedWalk:
        """The walk with start and variance settled; see ``Sampler.resolved``.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.
            spectrum: not used: walks take noise for white.

        Raises:
            ConfigError: a start that the model does not have.
        """
        start, last = self.start, num_timesteps - 1
        if start is None:
            start = min(max(round(self.start_scale * t_star), 1), last)
        if start > last:
            raise ConfigError(f"start {start}: out of range; the model allows 1 … {last}")
        return ResolvedWalk(self, start, start, variance if self.variance == "model" else self.variance)

    def evaluations(self, start: int, stop: int) -> int:
        """Network evaluations of a run between two indices of a schedule; see ``Walk``.

        Args:
            start: index of the first timestep.
            stop: index of the last one at which to mix.
        """
        return start

    @abstractmethod
    def walk(self, walk: Walk) -> Planes:
        """One run from y to x_0, in the moves of ``walk``.

        Args:
            walk: the moves.

        Returns:
            x_0, (N, 1, H, W).
        """


@dataclass(frozen=True)
class ResolvedWalk(Resolved):
    """A walk between two timesteps.

    Attributes:
        start: see ``WalkSampler``.
        stop: last (lowest) timestep at which to mix; ``start`` for walks that never do.
        variance: of a reverse step.
    """

    request: WalkSampler
    start: int
    stop: int
    variance: Variance

    @property
    def halo(self) -> int:
        """Pixels around a region that must be denoised with it: WALK_HALO, since a walk carries errors."""
        return WALK_HALO

    def respace(self, schedule: NoiseSchedule) -> NoiseSchedule:
        """Schedule of the walk.

        Args:
            schedule: of the model.

        Raises:
            ConfigError: a respacing that keeps no timestep at or above ``start``.
        """
        steps = self.request.steps
        respaced = schedule.respace(parse_respacing(steps, len(schedule), self.start))
        last = int(respaced.timesteps[-1])
        if self.start > last:
            raise ConfigError(f"start {self.start}: out of range; steps '{steps}' end at {last}")
        return respaced

    def nfe(self, schedule: NoiseSchedule) -> int:
        """Network evaluations per plane, over all runs.

        Args:
            schedule: from ``respace``.
        """
        stretch = self.stretch(schedule)
        return self.request.runs * self.request.evaluations(stretch.start, stretch.stop)

    def summary(self) -> str:
        """The timestep that the walk starts from."""
        return f"from timestep {self.start}"

    def sample(
        self, predict: Predict, y: Planes, schedule: NoiseSchedule, noise: Noise, guide: Planes | None = None
    ) -> Planes:
        """Denoise planes: the mean of the runs; arguments and errors are those of ``Resolved.sample``."""
        total: Planes = array_namespace(y).zeros_like(y)
        for x0 in self.each_run(predict, y, schedule, noise, guide):
            total += x0
        total *= 1 / self.request.runs
        return total

    def each_run(
        self, predict: Predict, y: Planes, schedule: NoiseSchedule, noise: Noise, guide: Planes | None = None
    ) -> Iterator[Planes]:
        """Denoise planes by each run in turn; arguments and errors are those of ``Resolved.sample``.

        Returns:
            x_0 of every run, (N, 1, H, W).
        """
        stretch = self.stretch(schedule)
        guide = y if guide is None else guide
        for run in range(self.request.runs):
            walk = Walk(stretch, predict, y, guide, noise, run)
            x0 = walk.finished
            if x0 is None:
                x0 = self.request.walk(walk)
                walk.keep(FINISHED, x0)
            yield x0

    def stretch(self, schedule: NoiseSchedule) -> Stretch:
        """The part of the schedule that is walked.

        Args:
            schedule: from ``respace``.
        """
        start, stop = schedule.index_of(self.start), schedule.index_of(self.stop)
        return Stretch(schedule, start, stop, self.variance, self.request.clip)
