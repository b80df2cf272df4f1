"""A part of planes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Crop:
    """Where planes lie in those that they are cut from.

    Attributes:
        whole: (H, W) of the uncut planes.
        origin: (y, x) of the first pixel in them.
        shape: (height, width).
    """

    whole: tuple[int, int]
    origin: tuple[int, int]
    shape: tuple[int, int]

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Crop:
        """For planes that are not cut."""
        return cls(shape, (0, 0), shape)

    def turned(self, symmetry: int) -> Crop:
        """Where planes lie that were turned by a symmetry of the square (see ``samplers.base.Turnable``)."""
        axes = zip((2, 1), self.whole, self.origin, self.shape, strict=True)
        y, x = (whole - start - size if symmetry & bit else start for bit, whole, start, size in axes)
        if symmetry & 4:
            return Crop(self.whole[::-1], (x, y), self.shape[::-1])
        return Crop(self.whole, (y, x), self.shape)
