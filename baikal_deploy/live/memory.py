"""The memory that a stream takes, so that a frame which does not fit is refused and not the end of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Self

from baikal_deploy.denoising.footprint import PER_PIXEL, SLACK
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.errors import ConfigError
from baikal_deploy.host.machine import free_bytes, resident_bytes
from baikal_deploy.host.sizes import format_size, memory_limit
from baikal_deploy.pixels.arrays import Raw

COPIES = 3
"""Copies of a frame in work: as it came, its result, and the one that is looked at."""


@dataclass(frozen=True)
class FrameMemory:
    """Memory that frames may take.

    Attributes:
        limit: bytes of the process.
        base: bytes that it holds with the model loaded and the network evaluated once.
        queue: frames that may wait.
    """

    limit: int
    base: int
    queue: int

    @classmethod
    def of(cls, size: str | int | None, predictor: TiledPredictor, queue: int) -> Self | None:
        """The memory for a size, such as "2GB"; None without one, where nothing is refused.

        Args:
            size: see ``RunConfig.memory``.
            predictor: the network, which is evaluated once, as engines take most of theirs then.
            queue: frames that may wait.

        Raises:
            ConfigError: no such size, or one that the model alone exceeds.
            EngineError: the network failed.
        """
        if size is None:
            return None
        limit = memory_limit(size, free_bytes())
        assert limit is not None, "a size was given"
        predictor.evaluate_once((predictor.tile, predictor.tile))
        base = (resident_bytes() or 0) + SLACK
        if base > limit:
            raise ConfigError(
                f"memory {format_size(limit)}: is too little; the model and its engine alone take "
                f"{format_size(base)} (give more, or smaller windows: --tile, --batch)"
            )
        return cls(limit, base, queue)

    def check(self, frame: Raw) -> None:
        """Raise ConfigError for a frame that does not fit, with as many waiting as may.

        Args:
            frame: (H, W), of any pixel type.
        """
        needed = self.base + prod(frame.shape) * PER_PIXEL + (self.queue + COPIES) * frame.nbytes
        if needed > self.limit:
            raise ConfigError(
                f"a frame of {' x '.join(map(str, frame.shape))} pixels takes {format_size(needed)}, and "
                f"{format_size(self.limit)} are allowed; give more (--memory), or let fewer frames wait "
                "(--queue)"
            )
