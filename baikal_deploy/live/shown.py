"""The display range of a stream whose end is not known: of a few frames, spread over all that came."""

from __future__ import annotations

from dataclasses import dataclass, field

from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.shown import Range

MOST = 64
"""Frames of a channel that are kept, at most: when they are that many, every second one goes."""
SIDE = 128
"""Pixels of a frame that are kept, along each side."""


@dataclass
class Sample:
    """Pixels of one channel.

    Attributes:
        frames: parts of frames, evenly spaced.
        step: every how many frames one is kept.
        seen: number of frames that came.
    """

    frames: list[Raw] = field(default_factory=list)
    step: int = 1
    seen: int = 0

    def add(self, frame: Raw) -> None:
        """Take a part of a frame (H, W), if it is its turn."""
        if self.seen % self.step == 0:
            rows, columns = (-(-length // SIDE) for length in frame.shape)
            self.frames.append(frame[::rows, ::columns].copy())
        self.seen += 1
        if len(self.frames) == MOST:
            self.frames, self.step = self.frames[::2], 2 * self.step

    def range(self) -> Range | None:
        """Percentiles of what came, as a run shows its results; None where it holds one value, or nothing."""
        found = Normalisation().of(self.frames)
        return None if found.is_constant else (found.low, found.high)
