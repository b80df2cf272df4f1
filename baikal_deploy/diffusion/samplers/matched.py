"""Matched: the network as a denoiser of the noise that is there, in one to eight evaluations.

A noisy plane already is a step of the diffusion: where its noise has the level √((1−ᾱ)/ᾱ) of timestep t*,
√ᾱ·y is distributed as x_t* is, and x̂0 there is the posterior mean of what it shows. Nothing is added, and
nothing is drawn. Noise that is not white is taken off in spectral steps (_spectral.py), of which this is the
special case.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from baikal_deploy.diffusion.samplers._spectral import filtered, levels, reach_of, response
from baikal_deploy.diffusion.samplers.base import Noise, Predict, Resolved, Sampler, Turnable
from baikal_deploy.diffusion.schedule import NoiseSchedule, Variance
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.pixels.arrays import Planes, array_namespace

MOST_EVALUATIONS = 8
SYMMETRIES = (1, 2, 4, 8)
HALO = 32
"""Halo in pixels where there are several steps; see ``Resolved.halo``."""
STEPS = 2
"""Steps for noise that is not white, unless asked otherwise (docs/decisions/0010-spectral-steps.md)."""


@dataclass(frozen=True)
class Matched(Sampler):
    """The posterior mean at the plane's own noise level.

    Attributes:
        start: timestep whose noise level is taken for that of the plane, and may be fractional; None: that of
            the measured noise, t*.
        evaluations: 1 is the posterior mean; more walk on to it in deterministic steps: of equal noise
            (DDIM, Song et al. 2021), which is sharper, or spectral ones where the noise is not white. None:
            1, and STEPS where it is not white.
        symmetries: 1, 2, 4 or 8 flips and rotations of the plane whose results are averaged; each costs as
            much again.
    """

    FEW_EVALUATIONS: ClassVar[bool] = True

    noise: Literal["uniform", "signal"] = "signal"
    start: float | None = None
    evaluations: int | None = None
    symmetries: int = 1

    def __post_init__(self) -> None:
        if self.start is not None and not self.start >= 0:
            raise ConfigError(f"start {self.start}: must be a timestep, 0 or more")
        if self.evaluations is not None and not 1 <= self.evaluations <= MOST_EVALUATIONS:
            raise ConfigError(f"evaluations {self.evaluations}: must lie within 1 … {MOST_EVALUATIONS}")
        if self.symmetries not in SYMMETRIES:
            raise ConfigError(f"symmetries {self.symmetries}: must be 1, 2, 4 or 8")

    def resolved(
        self, t_star: float, num_timesteps: int, variance: Variance, spectrum: Spectrum | None = None
    ) -> ResolvedMatched:
        """The sampler at a timestep; see ``Sampler.resolved``.

        Args:
            t_star: timestep whose noise level is that of the planes.
            num_timesteps: T of the model.
            variance: the model's.
            spectrum: see ``Sampler.resolved``.

        Raises:
            ConfigError: a start that the model does not have.
        """
        last = num_timesteps - 1
        if self.start is not None and self.start > last:
            raise ConfigError(f"start {self.start:g}: out of range; the model allows 0 … {last}")
        start = t_star if self.start is None else self.start
        evaluations = self.evaluations or (1 if spectrum is None else STEPS)
        return ResolvedMatched(self, start, evaluations, spectrum)


@dataclass(frozen=True)
class ResolvedMatched(Resolved):
    """Matched at a timestep.

    Attributes:
        start, evaluations: see ``Matched``.
        spectrum: see ``Sampler.resolved``.
    """

    request: Matched
    start: float
    evaluations: int = 1
    spectrum: Spectrum | None = None

    @property
    def halo(self) -> int:
        """Pixels around a region that must be denoised with it: HALO for several steps, else none.

        To these comes what spectral steps look around.
        """
        if self.evaluations == 1:
            return 0
        return HALO + (0 if self.spectrum is None else reach_of(self.spectrum))

    def respace(self, schedule: NoiseSchedule) -> NoiseSchedule:
        """The schedule itself: no timestep is left out.

        Args:
            schedule: of the model.
        """
        return schedule

    def nfe(self, schedule: NoiseSchedule) -> int:
        """Network evaluations per plane: the steps of every symmetry.

        Args:
            schedule: from ``respace``.
        """
        steps = self.evaluations
        if self.spectrum is not None:
            steps = len(levels(self.spectrum, schedule.noise_of_timestep(self.start), steps))
        return steps * self.request.symmetries

    def summary(self) -> str:
        """The timestep, and how many steps and symmetries there are."""
        evaluations, symmetries = self.evaluations, self.request.symmetries
        kind = "" if self.spectrum is None else "spectral "
        steps = f", {evaluations} {kind}steps" if evaluations > 1 else ""
        mean = f", mean of {symmetries} symmetries" if symmetries > 1 else ""
        return f"at timestep {self.start:.4g}{steps}{mean}"

    def sample(
        self, predict: Predict, y: Planes, schedule: NoiseSchedule, noise: Noise, guide: Planes | None = None
    ) -> Planes:
        """Denoise planes: the mean over the symmetries; see ``Resolved.sample``.

        Args:
            predict: the network.
            y: noisy planes (N, 1, H, W) on the network's scale.
            schedule: from ``respace``.
            noise: nothing is drawn from it.
            guide: not used.

        Returns:
            x̂0, (N, 1, H, W).

        Raises:
            EngineError: the network failed.
        """
        symmetries = self.request.symmetries
        total = self._walk(predict, y, schedule, 0)
        if symmetries == 1:
            return total
        for symmetry in range(1, symmetries):
            network = predict.turned(symmetry) if isinstance(predict, Turnable) else predict
            total += _turned_back(self._walk(network, _turned(y, symmetry), schedule, symmetry), symmetry)
        total *= 1 / symmetries
        return total

    def _walk(self, predict: Predict, y: Planes, schedule: NoiseSchedule, symmetry: int) -> Planes:
        """From planes that are turned by a symmetry to x̂0."""
        level = schedule.noise_of_timestep(self.start)
        if self.spectrum is None:
            return _even_steps(predict, y, schedule, level, self.evaluations)
        falling = levels(self.spectrum, level, self.evaluations)
        return _spectral_steps(predict, y, schedule, falling, self.spectrum, symmetry)


def _even_steps(predict: Predict, y: Planes, schedule: NoiseSchedule, level: float, count: int) -> Planes:
    """From a plane with noise of ``level`` to x̂0, in steps that each take off an equal part of it."""
    x = y
    for left, following in _levels(level, count):
        x0 = posterior_mean(predict, x, schedule, left)
        x = x0 + (following / left) * (x - x0) if following > 0 else x0
    return x


def _spectral_steps(
    predict: Predict,
    y: Planes,
    schedule: NoiseSchedule,
    falling: Sequence[float],
    spectrum: Spectrum,
    symmetry: int,
) -> Planes:
    """From a plane with noise of a spectrum to x̂0, at noise levels that fall."""
    x0 = posterior_mean(predict, y, schedule, falling[0])
    for level in falling[1:]:
        kernel = _turned(response(spectrum, level), symmetry)
        x0 = posterior_mean(predict, x0 + filtered(y - x0, kernel), schedule, level)
    return x0


def posterior_mean(predict: Predict, y: Planes, schedule: NoiseSchedule, level: float) -> Planes:
    """x̂0 of planes whose noise has the standard deviation ``level`` on the network's scale: one evaluation.

    With ᾱ = 1/(1 + level²), x_t = √ᾱ·y and x̂0 = y − level·ε (Efron 2011, Tweedie's formula).

    Args:
        predict: the network.
        y: (N, 1, H, W) on the network's scale.
        schedule: of the model.
        level: 0 or greater.

    Returns:
        (N, 1, H, W).
    """
    eps, _ = predict(y * (1 / math.sqrt(1 + level**2)), schedule.timestep_of_noise(level))
    x0: Planes = eps * -level  # the engine's own array stays as it is
    x0 += y
    return x0


def _levels(level: float, count: int) -> Iterator[tuple[float, float]]:
    """(noise level, the next one) of each step."""
    for step in range(count):
        yield level * (1 - step / count), level * (1 - (step + 1) / count)


def _turned(planes: Planes, symmetry: int) -> Planes:
    """Planes (…, H, W) turned by a symmetry (see ``Turnable.turned``); the first 4 keep their shape."""
    xp = array_namespace(planes)
    axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if symmetry & bit]
    flipped = xp.flip(planes, axis=tuple(axes)) if axes else planes
    return xp.matrix_transpose(flipped) if symmetry & 4 else flipped


def _turned_back(planes: Planes, symmetry: int) -> Planes:
    xp = array_namespace(planes)
    straight = xp.matrix_transpose(planes) if symmetry & 4 else planes
    return _turned(straight, symmetry & 3)
