"""Pair of a noisy and a clean image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Stack
from baikal_training.data.readers import Planes


@dataclass(frozen=True, eq=False)
class Pair:
    """One image to denoise, and what it should look like.

    Attributes:
        name: different from that of the other pairs.
        noisy, clean: planes in raw units, read when they are needed; clean is None where there is none.
        is_volume: whether the planes are z sections of one volume.

    Raises:
        EvaluationError: the two sides differ in shape.
    """

    name: str
    noisy: Planes
    clean: Planes | None
    is_volume: bool

    def __post_init__(self) -> None:
        if self.clean is not None and self.noisy.shape != self.clean.shape:
            raise different(self.name, self.noisy.shape, self.clean.shape)

    def read(self) -> tuple[Stack, Stack | None]:
        """Both sides (N, H, W) in raw units; the clean one is None where there is none.

        Raises:
            VolumeError: pixels that cannot be decoded.
            EvaluationError: pixels that are not finite.
        """
        return _read(self.noisy), None if self.clean is None else _read(self.clean)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pixels, shapes and dtypes of both sides; the same in any file format.

        Raises:
            VolumeError: pixels that cannot be decoded.
        """
        digest = hashlib.sha256()
        for planes in (self.noisy, self.clean):
            if planes is not None:
                pixels = planes.read_all()
                digest.update(f"{pixels.shape} {pixels.dtype.name}".encode())
                digest.update(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class MaxProjection:
    """The brightest of all planes at each pixel; a ``Planes`` with one plane."""

    planes: Planes

    @property
    def name(self) -> str:
        return f"{self.planes.name}, max-projected"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, *self.planes.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.planes.dtype

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Window (h, w) of the projection; see ``Planes.read``.

        Args:
            plane: 0.
            rows, columns: the window.
        """
        window: NDArray[Any] = self.read_all()[plane, rows, columns]
        return window

    def read_all(self) -> NDArray[Any]:
        """The projection (1, H, W); see ``Planes.read_all``."""
        return self.planes.read_all().max(axis=0, keepdims=True)


def _read(planes: Planes) -> Stack:
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite
        stack = planes.read_all().astype(np.float32)
    if not np.isfinite(stack).all():
        raise EvaluationError(
            f"{planes.name}: holds NaN or infinite pixels; replace them, or leave the image out"
        )
    return stack


def different(name: str, noisy: tuple[int, ...], clean: tuple[int, ...]) -> EvaluationError:
    """Error for two sides that differ in shape.

    Args:
        name: of the pair.
        noisy, clean: their shapes.
    """
    return EvaluationError(
        f"{name}: the noisy image has shape {noisy} and the clean one {clean}; make them match"
    )
