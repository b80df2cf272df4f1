"""The base of all samplers: the walk along a noise schedule."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from baikal_deploy.diffusion.schedule import NoiseSchedule, Variance, parse_respacing
from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Planes, array_namespace

Predict = Callable[[Planes, float], tuple[Planes, Planes | None]]
"""(x_t, original timestep) -> (eps, v or None): one network evaluation."""


@runtime_checkable
class Turnable(Protocol):
    """A ``Predict`` that must know when planes are turned, since it knows where they lie in larger ones."""

    def turned(self, symmetry: int) -> Predict:
        """The network for planes turned by one of the 8 symmetries of the square.

        Planes are flipped along x (bit 0) and along y (bit 1), then transposed (bit 2).

        Args:
            symmetry: 0 … 7.
        """


@runtime_checkable
class Continued(Protocol):
    """A ``Predict`` that keeps where walks are, so that one that was killed continues there."""

    def walked(self, run: int) -> tuple[int, Planes] | None:
        """Visit and x of a run of the sampler, as they were kept; None if nothing was.

        Args:
            run: number of the run.
        """

    def keep_walk(self, run: int, visit: int, x: Planes) -> None:
        """Take visit and x of a run, which ``walked`` may return after a kill.

        Args:
            run: number of the run.
            visit: FINISHED if x is x_0.
            x: (N, 1, H, W).
        """


FINISHED = -1
"""Number in place of a visit: the walk has ended."""

Noise = Callable[[int, int], Planes]
"""(visit, draw) -> standard normal planes of y's shape."""

OBSERVED_RANGE = (-1.15, 2.2)
"""Range that x̂0 may always take with clip "observed": percentile normalisation overshoots [−1, 1]."""

WALK_HALO = 64
"""Halo of walks, in pixels; see ``Resolved.halo``."""
_MAIN, _MIX = 0, 1
_DRAWS_PER_RUN = 2


@dataclass(frozen=True)
class Sampler(ABC):
    """The options of a sampler, some of which may be left to the noise of the planes and to the model.

    Attributes:
        noise: "uniform" takes one noise level for all of a channel; "signal" first makes noise that depends
            on the signal the same everywhere (see equaliser.py), and raises the level for correlated noise.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    TAKES_GUIDE: ClassVar[bool] = False
    """True if another denoiser's output may guide the sampler."""

    noise: Literal["uniform", "signal"] = "uniform"

    @property
    def draws(self) -> int:
        """Random draws whose mean the result is; 0 where nothing is random."""
        return 0

    @abstractmethod
    def resolved(self, t_star: float, num_timesteps: int, variance: Variance) -> Resolved:
        """The sampler with nothing left automatic.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.

        Raises:
            ConfigError: options that the model does not allow.
        """


@dataclass(frozen=True)
class Resolved(ABC):
    """A sampler that is ready for planes of one noise level.

    Further fields are what ``request`` may leave automatic, under the names of its options.

    Attributes:
        request: the sampler as it was asked for.
    """

    request: Sampler

    @property
    def options(self) -> dict[str, Any]:
        """Options of the request, with nothing left automatic."""
        settled = vars(self)
        return {name: settled.get(name, value) for name, value in asdict(self.request).items()}

    @property
    def noise(self) -> Literal["uniform", "signal"]:
        """Kind of noise that is removed, as the request has it; see ``Sampler``."""
        return self.request.noise

    @property
    def halo(self) -> int:
        """Pixels around a region of a plane that must be denoised with it.

        They come to the rest of the network's windows there, and are as many as the steps of a walk carry
        errors (docs/runs.md).
        """
        return 0

    @abstractmethod
    def respace(self, schedule: NoiseSchedule) -> NoiseSchedule:
        """The schedule that the sampler walks along.

        Args:
            schedule: of the model.

        Raises:
            ConfigError: the respacing does not fit the other options.
        """

    @abstractmethod
    def nfe(self, schedule: NoiseSchedule) -> int:
        """Network evaluations per plane.

        Args:
            schedule: from ``respace``.
        """

    @abstractmethod
    def summary(self) -> str:
        """The sampler's work, in a few words."""

    @abstractmethod
    def sample(
        self, predict: Predict, y: Planes, schedule: NoiseSchedule, noise: Noise, guide: Planes | None = None
    ) -> Planes:
        """Denoise planes.

        Args:
            predict: the network.
            y: noisy planes (N, 1, H, W) on the network's scale.
            schedule: from ``respace``.
            noise: source of standard normal planes.
            guide: another denoiser's output for the same planes, such as N2V's, to guide the walk in place of
                y (the paper's "N2V" variants); for samplers that take one.

        Returns:
            x_0, (N, 1, H, W).

        Raises:
            EngineError: the network failed.
        """


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
    clip: Literal["observed", "unit"] = "observed"
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

    def resolved(self, t_star: float, num_timesteps: int, variance: Variance) -> ResolvedWalk:
        """The walk with start and variance settled; see ``Sampler.resolved``.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.

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
        start, stop = schedule.index_of(self.start), schedule.index_of(self.stop)
        return self.request.runs * self.request.evaluations(start, stop)

    def summary(self) -> str:
        """The timestep that the walk starts from."""
        return f"from timestep {self.start}"

    def sample(
        self, predict: Predict, y: Planes, schedule: NoiseSchedule, noise: Noise, guide: Planes | None = None
    ) -> Planes:
        """Denoise planes: the mean of the runs; see ``Resolved.sample``.

        Args:
            predict: the network.
            y: noisy planes (N, 1, H, W) on the network's scale.
            schedule: from ``respace``.
            noise: source of standard normal planes.
            guide: in place of y; None: y.

        Returns:
            x_0, (N, 1, H, W).

        Raises:
            EngineError: the network failed.
        """
        total: Planes = array_namespace(y).zeros_like(y)
        for x0 in self.each_run(predict, y, schedule, noise, guide):
            total += x0
        total *= 1 / self.request.runs
        return total

    def each_run(
        self, predict: Predict, y: Planes, schedule: NoiseSchedule, noise: Noise, guide: Planes | None = None
    ) -> Iterator[Planes]:
        """Denoise planes by each run in turn; the arguments are those of ``Resolved.sample``.

        Args:
            predict: the network.
            y: noisy planes (N, 1, H, W) on the network's scale.
            schedule: from ``respace``.
            noise: source of standard normal planes.
            guide: in place of y; None: y.

        Returns:
            x_0 of every run, (N, 1, H, W).

        Raises:
            EngineError: the network failed.
        """
        guide = y if guide is None else guide
        for run in range(self.request.runs):
            walk = Walk(self, predict, y, guide, schedule, noise, run)
            x0 = walk.finished
            if x0 is None:
                x0 = self.request.walk(walk)
                walk.keep(FINISHED, x0)
            yield x0


class Walk:
    """The moves of one run. Each move is a visit, and each visit draws noise of its own.

    Attributes:
        y, guide: as in ``Resolved.sample``.
        start, stop: indices of the sampler's start and stop in the schedule.
    """

    def __init__(
        self,
        sampler: ResolvedWalk,
        predict: Predict,
        y: Planes,
        guide: Planes,
        schedule: NoiseSchedule,
        noise: Noise,
        run: int,
    ) -> None:
        self.y, self.guide, self.schedule = y, guide, schedule
        self.start, self.stop = schedule.index_of(sampler.start), schedule.index_of(sampler.stop)
        self._predict, self._noise, self._run = predict, noise, run
        self._variance = sampler.variance
        self._visit = 0
        self._continued = predict if isinstance(predict, Continued) else None
        self._kept = None if self._continued is None else self._continued.walked(run)
        self._xp = array_namespace(y)
        observed = sampler.request.clip == "observed"
        self._low, self._high = (
            self._xp.full_like(y, bound) for bound in (OBSERVED_RANGE if observed else (-1.0, 1.0))
        )
        if observed:
            self._low, self._high = self._xp.minimum(y, self._low), self._xp.maximum(y, self._high)

    def diffuse(self, image: Planes) -> Planes:
        """Noisy planes at the start, where a run begins: q(image, start).

        Args:
            image: (N, 1, H, W).
        """
        return self.schedule.q_sample(image, self.start, self._draw(_MAIN))

    def take(self, image: Planes) -> Planes:
        """The image as it is, for one whose noise is already that of the start.

        Args:
            image: (N, 1, H, W).
        """
        return math.sqrt(self.schedule.alphas_cumprod[self.start]) * image

    def reverse(self, x: Planes, index: int) -> Planes:
        """One reverse step: x at ``index`` -> x at ``index`` − 1 (Ho et al. 2020, algorithm 2).

        Args:
            x: (N, 1, H, W).
            index: in the schedule.
        """
        self._visit += 1
        if self._kept is not None and self._visit <= self._kept[0]:
            return self._kept[1] if self._visit == self._kept[0] else x  # nobody looks at what leads there
        schedule = self.schedule
        eps, v = self._predict(x, float(schedule.timesteps[index]))
        # Not clip, which for CuPy is made of boolean masks that wait for the device.
        x0 = self._xp.maximum(schedule.predict_x0(x, index, eps), self._low)
        x0 = self._xp.minimum(x0, self._high)
        mean = schedule.posterior_mean(x0, x, index)
        if index > 0:
            mean = mean + schedule.reverse_std(index, self._variance, v) * self._draw(_MAIN)
        self.keep(self._visit, mean)
        return mean

    @property
    def finished(self) -> Planes | None:
        """x_0 of a run that had ended before a kill."""
        return self._kept[1] if self._kept is not None and self._kept[0] == FINISHED else None

    def keep(self, visit: int, x: Planes) -> None:
        """Keep where the run is, for one that continues after a kill.

        Args:
            visit: FINISHED if x is x_0.
            x: (N, 1, H, W).
        """
        if self._continued is not None:
            self._continued.keep_walk(self._run, visit, x)

    def mix(self, x: Planes, index: int, weight: float) -> Planes:
        """Mixture of x and the noisy guide: (1 − w)·x + w·q(guide, index) (paper, eq. 5).

        Args:
            x: (N, 1, H, W).
            index: in the schedule.
            weight: w, 0 … 1.
        """
        if weight == 0:
            return x
        noisy = self.schedule.q_sample(self.guide, index, self._draw(_MIX))
        return float(1 - weight) * x + float(weight) * noisy

    def renoise(self, x: Planes, index: int) -> Planes:
        """One forward step: x at ``index`` − 1 -> x at ``index`` (Lugmayr et al. 2022).

        Args:
            x: (N, 1, H, W).
            index: in the schedule.
        """
        self._visit += 1
        beta = self.schedule.betas[index]
        return math.sqrt(1 - beta) * x + math.sqrt(beta) * self._draw(_MAIN)

    def _draw(self, draw: int) -> Planes:
        return self._noise(self._visit, draw + self._run * _DRAWS_PER_RUN)
