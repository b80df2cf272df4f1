"""Noise schedules of a DDPM and their respacing.

Indexing: timestep t runs 0 … T−1, and t = 0 means that one noising step has been applied; the
alphas_cumprod of a clean image is 1. Tables are float64; arithmetic on planes is float32, in the
array module that the planes come from: Python numbers change neither it nor the dtype.

Formulas: Ho et al. 2020 (reverse step, fixed variances), Nichol & Dhariwal 2021 (cosine
schedule, learned-range variance, respacing).
"""

from __future__ import annotations

import itertools
import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Planes, Values, array_namespace

Variance = Literal["fixed_small", "fixed_large", "learned_range"]
Kind = Literal["linear", "cosine", "explicit"]

MAX_BETA = 0.999
MOST_TIMESTEPS = 100_000


@dataclass(frozen=True)
class ScheduleSpec:
    """Definition of a noise schedule; stored in checkpoints and models.

    Attributes:
        kind: "linear" (β from 1e-4·1000/T to 0.02·1000/T), "cosine", or "explicit".
        num_timesteps: T.
        betas: the T values of β, for kind "explicit" only.
    """

    kind: Kind = "linear"
    num_timesteps: int = 1000
    betas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"schedule: unknown kind '{self.kind}'; choose {', '.join(get_args(Kind))}")
        if self.num_timesteps < 2:
            raise ConfigError(f"schedule: {self.num_timesteps} timesteps; at least 2 are needed")
        if not self.num_timesteps <= MOST_TIMESTEPS:
            raise ConfigError(f"schedule: {self.num_timesteps} timesteps; at most {MOST_TIMESTEPS} work")
        if (self.betas is not None) != (self.kind == "explicit"):
            raise ConfigError("schedule: betas go with kind 'explicit', and only with it")
        if self.betas is not None and len(self.betas) != self.num_timesteps:
            raise ConfigError(f"schedule: {len(self.betas)} betas for {self.num_timesteps} timesteps")

    def as_dict(self) -> dict[str, Any]:
        """Fields by name, as JSON holds them; betas only where they are given."""
        data: dict[str, Any] = {"kind": self.kind, "num_timesteps": self.num_timesteps}
        return data if self.betas is None else data | {"betas": list(self.betas)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ScheduleSpec:
        """The definition whose ``as_dict`` is given.

        Args:
            data: as ``as_dict`` returns it.

        Raises:
            ConfigError: values that define no schedule.
            KeyError: a kind or a number of timesteps that is missing.
        """
        betas = data.get("betas")
        return cls(data["kind"], data["num_timesteps"], None if betas is None else tuple(betas))

    def build(self) -> NoiseSchedule:
        """The full table of all T timesteps."""
        return NoiseSchedule(self._betas(), np.arange(self.num_timesteps))

    def _betas(self) -> Values:
        count = self.num_timesteps
        if self.betas is not None:
            return np.asarray(self.betas, dtype=np.float64)
        if self.kind == "linear":
            scale = 1000 / count
            return np.linspace(1e-4 * scale, 0.02 * scale, count, dtype=np.float64)
        levels = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
        return np.array([min(1 - b / a, MAX_BETA) for a, b in itertools.pairwise(levels)])


class NoiseSchedule:
    """The tables of a forward process and the reverse step that they define. Immutable.

    Arguments named ``index`` count positions in this (maybe respaced) schedule;
    ``timesteps[index]`` is the original timestep, which is what the network is told.

    Attributes:
        betas: β of each index (float64).
        timesteps: original timestep of each index (int64, increasing).
        alphas_cumprod: ᾱ of each index (float64).
    """

    def __init__(self, betas: Values, timesteps: NDArray[np.int64]) -> None:
        if not (np.all(betas > 0) and np.all(betas < 1)):
            raise ConfigError("schedule: every beta must lie strictly between 0 and 1")
        self.betas = _frozen(betas)
        self.timesteps = _frozen(timesteps)
        self.alphas_cumprod = _frozen(np.cumprod(1 - betas))
        if not (self.alphas_cumprod[0] < 1 and self.alphas_cumprod[-1] > 0):
            raise ConfigError("schedule: its betas leave an image as it is, or nothing of it; correct them")

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alphas_cumprod_prev(self) -> Values:
        """ᾱ of the index before, 1 at index 0."""
        previous: Values = np.append(1.0, self.alphas_cumprod[:-1])
        return previous

    @cached_property
    def posterior_variance(self) -> Values:
        """β̃ of each index: the variance of q(x_{t−1} | x_t, x_0); 0 at index 0."""
        variance: Values = self.betas * (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)
        return variance

    @cached_property
    def _log_small(self) -> Values:
        """log β̃ with β̃ of index 1 copied into index 0, where β̃ itself is 0."""
        floor = self.posterior_variance[1] if len(self) > 1 else self.betas[0]
        small: Values = np.log(np.append(floor, self.posterior_variance[1:]))
        return small

    @cached_property
    def _log_large(self) -> Values:
        """log β with β̃ of index 1 in index 0 ("fixed_large")."""
        large: Values = np.append(self._log_small[0], np.log(self.betas[1:]))
        return large

    @cached_property
    def noise_levels(self) -> Values:
        """√((1−ᾱ)/ᾱ) of each index: the noise's standard deviation relative to an unscaled image."""
        levels: Values = np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)
        return levels

    def timestep_of_noise(self, sigma: float) -> float:
        """The (fractional) original timestep t* whose noise level is ``sigma``, within 0 … T−1.

        ``sigma`` is a standard deviation on the network's scale, where an image spans [−1, 1].

        Args:
            sigma: 0 or greater.
        """
        return float(np.interp(sigma, self.noise_levels, self.timesteps.astype(np.float64)))

    def noise_of_timestep(self, timestep: float) -> float:
        """The inverse of ``timestep_of_noise``: the noise level of a (fractional) original timestep.

        Args:
            timestep: beyond the schedule, that of its end counts.
        """
        return float(np.interp(timestep, self.timesteps.astype(np.float64), self.noise_levels))

    def index_of(self, timestep: int) -> int:
        """Number of kept timesteps below an original timestep: its place in this schedule.

        Args:
            timestep: an original one.
        """
        return bisect_left(self.timesteps, timestep)

    def respace(self, timesteps: Sequence[int]) -> NoiseSchedule:
        """Schedule that keeps only these original timesteps.

        Its tables are rebuilt from β' = 1 − ᾱ/ᾱ(previous kept).

        Args:
            timesteps: original ones, in any order.

        Raises:
            ConfigError: a timestep that this schedule does not have, or none at all.
        """
        kept = np.unique(np.asarray(timesteps, dtype=np.int64))
        if not len(kept) or not np.isin(kept, self.timesteps).all():
            raise ConfigError(f"respacing: {list(timesteps)} are not all timesteps of this schedule")
        levels = self.alphas_cumprod[np.searchsorted(self.timesteps, kept)]
        return NoiseSchedule(1 - levels / np.append(1.0, levels[:-1]), kept)

    def q_sample(self, x0: Planes, index: int, noise: Planes) -> Planes:
        """Planes with the noise of an index: q(x_t | x_0) = √ᾱ·x_0 + √(1−ᾱ)·noise.

        Args:
            x0: (N, 1, H, W).
            index: in this schedule.
            noise: standard normal, of the same shape.
        """
        level = self.alphas_cumprod[index]
        return math.sqrt(level) * x0 + math.sqrt(1 - level) * noise

    def predict_x0(self, x: Planes, index: int, eps: Planes) -> Planes:
        """Planes without noise, as the network sees them: x̂_0 = √(1/ᾱ)·x − √(1/ᾱ − 1)·ε, unclipped.

        Args:
            x: noisy planes of an index, (N, 1, H, W).
            index: in this schedule.
            eps: the network's first output for x.
        """
        inverse = 1 / self.alphas_cumprod[index]
        return math.sqrt(inverse) * x - math.sqrt(inverse - 1) * eps

    def posterior_mean(self, x0: Planes, x: Planes, index: int) -> Planes:
        """Mean of q(x_{t−1} | x_t, x_0).

        Args:
            x0: (N, 1, H, W).
            x: noisy planes of an index, of the same shape.
            index: in this schedule.
        """
        level, previous = self.alphas_cumprod[index], self.alphas_cumprod_prev[index]
        beta = self.betas[index]
        of_x0 = beta * np.sqrt(previous) / (1 - level)
        of_x = (1 - previous) * np.sqrt(1 - beta) / (1 - level)
        return float(of_x0) * x0 + float(of_x) * x

    def reverse_std(self, index: int, variance: Variance, v: Planes | None = None) -> Planes | float:
        """Standard deviation of the noise that a reverse step adds.

        Args:
            index: in this schedule.
            variance: kind of the variance.
            v: the network's second output, for "learned_range" only: the log-variance is interpolated between
                β̃ (v = −1) and β (v = 1).

        Returns:
            One number, or for "learned_range" an array of v's shape.

        Raises:
            ConfigError: "learned_range" without v.
        """
        if variance == "learned_range":
            if v is None:
                raise ConfigError("variance 'learned_range' needs a model with a variance output")
            fraction = (v + 1) * 0.5
            low, high = float(self._log_small[index]), math.log(self.betas[index])
            std: Planes = array_namespace(v).exp(0.5 * (low + fraction * (high - low)))
            return std
        log = self._log_small if variance == "fixed_small" else self._log_large
        return math.exp(0.5 * log[index])


def parse_respacing(text: str, num_timesteps: int, start: int) -> list[int]:
    """The original timesteps that a respacing keeps.

    Args:
        text: "N": N timesteps evenly spread over 0 … T−1, both ends kept; "ddimN": the integer
            stride that gives N timesteps, from 0; "walkN": N timesteps evenly spread over
            0 … start−1, plus ``start`` itself, so that a straight walk takes N evaluations.
        num_timesteps: T.
        start: the sampler's start, for "walkN".

    Raises:
        ConfigError: not one of these forms, or more steps than there are timesteps.
    """
    match = re.fullmatch(r"(ddim|walk)?([1-9][0-9]*)", text)
    if match is None:
        raise ConfigError(f"steps '{text}': give N, ddimN or walkN, for example 50, ddim50 or walk10")
    form, count = match[1], int(match[2])
    if count > num_timesteps:
        raise ConfigError(f"steps '{text}': the model has only {num_timesteps} timesteps")
    if form == "ddim":
        return _ddim_timesteps(count, num_timesteps)
    if form == "walk":
        return [*_spread(min(count, start), start), start]
    return _spread(count, num_timesteps)


def _spread(count: int, total: int) -> list[int]:
    """``count`` of 0 … total−1; the stride accumulates in float and rounds half to even."""
    if count == 1:
        return [0]
    stride, position, kept = (total - 1) / (count - 1), 0.0, []
    for _ in range(count):
        kept.append(round(position))
        position += stride
    return kept


def _ddim_timesteps(count: int, total: int) -> list[int]:
    for stride in range(1, total + 1):
        kept = list(range(0, total, stride))
        if len(kept) == count:
            return kept
    raise ConfigError(f"steps 'ddim{count}': no integer stride gives {count} of {total} timesteps")


def _frozen(table: NDArray[Any]) -> NDArray[Any]:
    table = table.copy()
    table.flags.writeable = False
    return table
