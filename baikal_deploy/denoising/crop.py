"""The frames of reference of planes that are cut: the whole plane, what is read, what is wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from baikal_deploy.pixels.arrays import Raw, Region


@dataclass(frozen=True)
class Crop:
    """The part of planes that is read, the part of that which is wanted, and its place in the noise fields.

    Attributes:
        whole: (H, W) of the planes that are cut.
        read: rows and columns of them that are read.
        wanted: rows and columns of them that are wanted, which are among those that are read.
        noise_origin: (y, x) of the whole planes' first pixel in the noise fields, which may reach farther.
    """

    whole: tuple[int, int]
    read: Region
    wanted: Region
    noise_origin: tuple[int, int] = (0, 0)

    @classmethod
    def uncut(cls, shape: tuple[int, int], noise_origin: tuple[int, int] = (0, 0)) -> Self:
        """Crop of all of the planes.

        Args:
            shape: (H, W).
            noise_origin: (y, x) of the planes' first pixel in the noise fields.
        """
        everything = slice(0, shape[0]), slice(0, shape[1])
        return cls(shape, everything, everything, noise_origin)

    @property
    def is_uncut(self) -> bool:
        """True if the planes are read whole."""
        return self.shape == self.whole

    @property
    def borders(self) -> tuple[bool, bool, bool, bool]:
        """True where the first row, the last row, the first and the last column that are read end the
        planes."""
        (y, x), (height, width) = self.read, self.whole
        return y.start == 0, y.stop == height, x.start == 0, x.stop == width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of what is read."""
        return _shape(self.read)

    @property
    def wanted_shape(self) -> tuple[int, int]:
        """(height, width) of what is wanted."""
        return _shape(self.wanted)

    @property
    def within(self) -> Region:
        """Rows and columns of what is wanted, counted from what is read."""
        y, x = (
            slice(want.start - read.start, want.stop - read.start)
            for want, read in zip(self.wanted, self.read, strict=True)
        )
        return y, x

    @property
    def origin_in_noise(self) -> tuple[int, int]:
        """(y, x) of the first pixel that is read in the noise fields."""
        (top, left), (y, x) = self.noise_origin, self.read
        return top + y.start, left + x.start

    def trimmed(self, pixels: Raw) -> Raw:
        """View of the wanted part of pixels that were read.

        Args:
            pixels: (…, height, width) as read.

        Returns:
            (…, height, width) of what is wanted.
        """
        return pixels[..., *self.within]

    def coordinates(self) -> tuple[Raw, Raw]:
        """Row numbers (height, 1) and column numbers (1, width) in the whole planes of what is read."""
        rows, columns = np.ogrid[self.read]
        return rows, columns

    def turned(self, symmetry: int) -> Self:
        """Crop of the same planes turned by a symmetry of the square (see ``samplers.base.Turnable``).

        The noise fields do not turn: what is drawn is drawn for planes as they were read.

        Args:
            symmetry: 0 … 7.
        """
        read, wanted = (self._turned(region, symmetry) for region in (self.read, self.wanted))
        return replace(self, whole=self.whole[::-1] if symmetry & 4 else self.whole, read=read, wanted=wanted)

    def _turned(self, region: Region, symmetry: int) -> Region:
        axes = zip((2, 1), self.whole, region, strict=True)
        y, x = (
            slice(side - span.stop, side - span.start) if symmetry & bit else span for bit, side, span in axes
        )
        return (x, y) if symmetry & 4 else (y, x)


def _shape(region: Region) -> tuple[int, int]:
    y, x = region
    return y.stop - y.start, x.stop - x.start
