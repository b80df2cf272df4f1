"""Training samples: a crop with its timestep and noise, all determined by the sample's number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_training.config import TimestepSampling
from baikal_training.data import CropDataset
from baikal_training.noise import MeasuredNoise, correlated

Sample = tuple[Tensor, Tensor, Tensor]
"""A training sample: x_0 (1, H, W), its timestep (), and noise (1, H, W); or a batch of them."""

SIGMAS = (0.02, 2.0)
"""Noise levels that "denoising" draws from; an image spans [−1, 1]."""
UNIFORM_SHARE = 0.1
_NOISE = 1
"""Last word of the random key: the crop of the same number has a stream of its own."""


class TimestepSampler:
    """A sampler of training timesteps.

    Attributes:
        first, last: it draws none beyond.
    """

    def __init__(
        self, schedule: NoiseSchedule, kind: TimestepSampling, noise: MeasuredNoise | None = None
    ) -> None:
        """``noise`` restricts them to its levels."""
        self.schedule, self.kind = schedule, kind
        self.sigmas, self.first, self.last = SIGMAS, 0, len(schedule) - 1
        if noise is not None:
            self.sigmas = noise.levels
            self.first, self.last = (round(schedule.timestep_of_noise(level)) for level in noise.levels)

    def __call__(self, rng: Generator) -> int:
        """One original timestep."""
        if self.kind == "uniform" or rng.random() < UNIFORM_SHARE:
            return int(rng.integers(self.first, self.last + 1))
        return round(self.schedule.timestep_of_noise(float(np.exp(rng.uniform(*np.log(self.sigmas))))))


class SampleDataset(Dataset[Sample]):
    """A data set of training samples.

    Sample i depends on (seed, i) alone, so that processes, workers and restarts change nothing.
    """

    def __init__(
        self, crops: CropDataset, timesteps: TimestepSampler, seed: int, noise: MeasuredNoise | None = None
    ) -> None:
        """Without ``noise``, it is white."""
        self.crops, self.timesteps, self.seed, self.noise = crops, timesteps, seed, noise

    def __getitem__(self, index: int) -> Sample:
        crop = self.crops[index]
        rng = np.random.default_rng([self.seed, index, _NOISE])
        timestep = self.timesteps(rng)
        # torch draws normal numbers three times faster than NumPy.
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        white = torch.randn(crop.shape, generator=generator)
        return crop, torch.tensor(timestep), self._kind(white)

    def _kind(self, white: Tensor) -> Tensor:
        return white if self.noise is None else correlated(white, self.noise.correlation)


@dataclass(frozen=True)
class BatchPlan:
    """The numbers of the samples of each part of each batch that one process computes, from ``first`` on.

    Attributes:
        first: iteration to begin with.
        last: iteration to end before; None: never.
        part: samples that a process computes at once.
        parts: of a batch, over all processes; they take turns.
        rank, processes: which process this is, of how many.
    """

    first: int
    last: int | None
    part: int
    parts: int
    rank: int = 0
    processes: int = 1

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.first
        while self.last is None or iteration < self.last:
            for turn in range(self.rank, self.parts, self.processes):
                start = (iteration * self.parts + turn) * self.part
                yield list(range(start, start + self.part))
            iteration += 1
