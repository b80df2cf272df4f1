"""The moves of a walk along a noise schedule, in which samplers are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from baikal_deploy.diffusion.samplers.base import FINISHED, Continued, Noise, Predict
from baikal_deploy.diffusion.schedule import NoiseSchedule, Variance
from baikal_deploy.pixels.arrays import Planes, array_namespace

Clip = Literal["observed", "unit"]
"""Range that x̂0 is clipped to; see ``WalkSampler``."""

OBSERVED_RANGE = (-1.15, 2.2)
"""Range that x̂0 may always take with clip "observed": percentile normalisation overshoots [−1, 1]."""

_MAIN, _MIX = 0, 1
_DRAWS_PER_RUN = 2


@dataclass(frozen=True)
class Stretch:
    """The part of a schedule that is walked, and how.

    Attributes:
        schedule: from ``Resolved.respace``.
        start: index of the first timestep.
        stop: index of the last one at which to mix.
        variance: of a reverse step.
        clip: range of x̂0.
    """

    schedule: NoiseSchedule
    start: int
    stop: int
    variance: Variance
    clip: Clip


class Walk:
    """The moves of one run. Each move is a visit, and each visit draws noise of its own.

    Attributes:
        y, guide: as in ``Resolved.sample``.
        schedule, start, stop: see ``Stretch``.
    """

    def __init__(
        self, stretch: Stretch, predict: Predict, y: Planes, guide: Planes, noise: Noise, run: int
    ) -> None:
        self.y, self.guide = y, guide
        self.schedule, self.start, self.stop = stretch.schedule, stretch.start, stretch.stop
        self._predict, self._noise, self._run = predict, noise, run
        self._variance = stretch.variance
        self._visit = 0
        self._continued = predict if isinstance(predict, Continued) else None
        self._kept = None if self._continued is None else self._continued.walked(run)
        self._xp = array_namespace(y)
        self._low, self._high = _range_of_x0(y, stretch.clip)

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


def _range_of_x0(y: Planes, clip: Clip) -> tuple[Planes, Planes]:
    """The least and the greatest x̂0 at each pixel, (N, 1, H, W) each."""
    xp = array_namespace(y)
    if clip == "unit":
        return xp.full_like(y, -1.0), xp.full_like(y, 1.0)
    low, high = (xp.full_like(y, bound) for bound in OBSERVED_RANGE)
    return xp.minimum(y, low), xp.maximum(y, high)
