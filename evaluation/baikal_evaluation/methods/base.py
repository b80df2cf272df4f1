"""Base of denoising methods: what they learn from, what they are asked, and what they predict."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from baikal_evaluation.methods._model import Model

Stack = NDArray[np.float32]
"""Planes (N, H, W) in raw units."""
Needs = Literal["nothing", "noisy", "pairs"]
"""Kind of images that a method learns from."""
MINUTES = 6.0
"""CPU time that a method may learn for, unless told otherwise."""


@dataclass(frozen=True)
class TrainingImages:
    """Images that methods may learn from: all get the same.

    Attributes:
        noisy: stacks (N, H, W) in raw units, one of each image.
        clean: as many, of the same shapes, in the same units; None where there is no clean side.
    """

    noisy: tuple[Stack, ...]
    clean: tuple[Stack, ...] | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all pixels and shapes."""
        return _sha256(stack for side in (self.noisy, self.clean or ()) for stack in side)


def _sha256(stacks: Iterable[Stack]) -> str:
    digest = hashlib.sha256()
    for stack in stacks:
        digest.update(str(stack.shape).encode() + np.ascontiguousarray(stack).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Training:
    """Images that methods learn from, and for how long.

    Attributes:
        images: to learn from.
        minutes: CPU time, the same for every method.
        seed: of everything random.
        folder: keeps what was learnt, one file or folder of each method; nothing that is there
            already for the same images, minutes and seed is learnt again.
    """

    images: TrainingImages
    minutes: float
    seed: int
    folder: Path

    def key(self, method: str) -> str:
        """Name of what a method learns: it is the same for the same images, minutes and seed.

        Args:
            method: its name, with the version of how it learns.

        Returns:
            32 hexadecimal digits.
        """
        text = f"{method} {self.images.digest} {self.minutes} {self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Prediction:
    """Denoised planes (N, H, W) in the raw units of the noisy ones, and network evaluations per plane."""

    planes: Stack
    nfe: int = 0


class Method(ABC):
    """A denoiser: make it ``with_model``, ``fit`` it if it ``NEEDS`` that, then ``denoise`` images.

    Attributes:
        NEEDS: what it learns from.
        ORACLE: whether it looks at the clean side of the very image that it denoises.
    """

    NEEDS: ClassVar[Needs] = "nothing"
    ORACLE: ClassVar[bool] = False

    @classmethod
    def with_model(cls, model: Model) -> Self:
        """Make the method; most need no model.

        Args:
            model: measures noise, for those that do need it.

        Raises:
            ModelError: the model is not there, or cannot be read.
            EngineError: the engine cannot be had here.
        """
        return cls()

    def fit(self, training: Training) -> Self:
        """Learn; or take what was learnt from the same training before.

        Args:
            training: images, time and seed.

        Returns:
            The method itself.

        Raises:
            EvaluationError: it cannot.
        """
        return self

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything that decides its predictions, as JSON: options, versions, hashes of weights."""

    @abstractmethod
    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        """Denoise one image.

        Args:
            noisy: (N, H, W) in raw units.
            clean: the truth in the same units, for oracles alone.
            guide: another method's prediction for ``noisy``, for the methods that take one.

        Returns:
            Planes of the same shape and units, and network evaluations per plane.

        Raises:
            EvaluationError: it cannot denoise this image; the message says why and what to do.
        """
