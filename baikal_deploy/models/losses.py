"""What a precision loses: planes denoised in it, against the same planes denoised in fp32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

from baikal_deploy.models.manifest import Precision

MOST_LEVELS, MOST_TEXT = 64, 500


@dataclass(frozen=True)
class LossAtLevel:
    """The loss of planes with noise of one strength.

    Attributes:
        sigma: standard deviation of the noise, on the network's scale, where an image spans [−1, 1].
        psnr_db: mean PSNR of the planes against the clean ones, denoised in fp32.
        psnr_change_db: what the precision changes of that, in the mean.
        worst_psnr_change_db: the same for the plane that loses most.
        worst_pixel: largest difference of any pixel from fp32, as a share of the image's range.
    """

    sigma: float
    psnr_db: float
    psnr_change_db: float
    worst_psnr_change_db: float
    worst_pixel: float


@dataclass(frozen=True)
class Loss:
    """What one precision loses on one engine.

    Attributes:
        precision: what was computed in.
        engine, engine_version: what computed.
        machine: the processor, in words.
        sampler: what denoised; of one evaluation for each plane.
        planes, source: how many clean planes were used, and where they come from.
        levels: the loss by strength of the noise.
    """

    precision: Precision
    engine: str
    engine_version: str
    machine: str
    sampler: str
    planes: int
    source: str
    levels: tuple[LossAtLevel, ...]

    @property
    def largest(self) -> float:
        """PSNR that is lost in the mean, in dB, at the level that loses most; below 0 where it is gained."""
        return max(-level.psnr_change_db for level in self.levels)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What ``dataclasses.asdict`` made a record of.

        Raises:
            ValueError: a number is not finite, or a text is too long.
            KeyError, TypeError: something is missing, or of another type.
        """
        texts = {name: _text(record, name) for name in _TEXTS}
        if texts["precision"] not in get_args(Precision):
            raise ValueError(f"precision: must be one of {', '.join(get_args(Precision))}")
        levels, planes = record["levels"], record["planes"]
        if not isinstance(levels, list) or not 0 < len(levels) <= MOST_LEVELS:
            raise ValueError(f"levels: must be a list of 1 to {MOST_LEVELS}")
        if not isinstance(planes, int) or not 0 < planes < 10**9:
            raise ValueError("planes: must be a positive number")
        return cls(planes=planes, levels=tuple(map(_level, levels)), **texts)  # type: ignore[arg-type]


_TEXTS = ("precision", "engine", "engine_version", "machine", "sampler", "source")
_NUMBERS = ("sigma", "psnr_db", "psnr_change_db", "worst_psnr_change_db", "worst_pixel")


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise ValueError(f"{name}: must be a text of at most {MOST_TEXT} characters")
    return value


def _level(record: Mapping[str, Any]) -> LossAtLevel:
    values = {name: _number(record, name) for name in _NUMBERS}
    return LossAtLevel(**values)


def _number(record: Mapping[str, Any], name: str) -> float:
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: must be a finite number")
    return float(value)
