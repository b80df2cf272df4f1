"""Windows over an axis and a plane, and their weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Region

DEFAULT_TILE = 512
DEFAULT_OVERLAP = 64


@dataclass(frozen=True)
class AxisPlan:
    """Equal windows that cover one axis, and their blend weights.

    Attributes:
        length: pixels to cover, a multiple of the network's downsampling.
        window: pixels of each window.
        origins: first pixel of each window, on the network's grid.
    """

    length: int
    window: int
    origins: tuple[int, ...]

    @classmethod
    def fit(cls, length: int, tile: int, overlap: int, factor: int) -> AxisPlan:
        """Fewest windows of at most ``tile`` pixels that overlap by at least ``overlap``.

        Each is no longer than need be. All arguments are multiples of ``factor``, and the origins become so.

        Args:
            length: pixels to cover.
            tile: largest window, in pixels.
            overlap: least overlap of neighbours, in pixels.
            factor: the network's downsampling.
        """
        if length <= tile:
            return cls(length, length, (0,))
        count = -(-(length - overlap) // (tile - overlap))
        window = _round_up(-(-(length + (count - 1) * overlap) // count), factor)
        steps = (length - window) // factor
        origins = tuple(steps * i // (count - 1) * factor for i in range(count))
        return cls(length, window, origins)

    def part(self, start: int, stop: int, size: int) -> AxisPlan:
        """The windows that lie within a part of the axis; origins count from its start.

        Args:
            start, stop: of the part, which may be in front of the first of these windows.
            size: pixels of the axis without its padding, which belongs to a part that ends there.
        """
        end = self.length if stop == size else stop
        origins = (o - start for o in self.origins if o >= start and o + self.window <= end)
        return AxisPlan(end - start, self.window, tuple(origins))

    def weights(self) -> NDArray[np.float32]:
        """Blend weight of each window at each of its pixels: (len(origins), window).

        Across an overlap of o pixels the weight passes from one window to the next in the middle
        quarter; the outer 3/8 of each window's share, where the window's border shows, count
        nothing. So blending is exact where 3/8 of the overlap reach as far as the network does.
        The weights of all windows sum to 1 at every pixel that they cover.
        """
        weights = np.ones((len(self.origins), self.window))
        for i, (left, right) in enumerate(zip(self.origins, self.origins[1:], strict=False)):
            overlap = left + self.window - right
            rise = np.clip((np.arange(overlap) + 0.5 - 3 / 8 * overlap) / (overlap / 4), 0, 1)
            weights[i, self.window - overlap :] *= 1 - rise
            weights[i + 1, :overlap] *= rise
        return weights.astype(np.float32)


@dataclass(frozen=True)
class TilePlan:
    """Equal windows over planes of one shape.

    Attributes:
        shape: (H, W) of the planes.
        y, x: the windows along each axis.
    """

    shape: tuple[int, int]
    y: AxisPlan
    x: AxisPlan

    @classmethod
    def fit(cls, shape: tuple[int, int], tile: int, overlap: int, factor: int) -> TilePlan:
        """Windows for planes of one shape.

        Args:
            shape: (H, W) of the planes; padded by reflection to multiples of ``factor``.
            tile: largest side of a window, in pixels; rounded down to a multiple of ``factor``.
            overlap: least overlap of neighbouring windows, in pixels; rounded up likewise.
            factor: the network's downsampling.

        Raises:
            ConfigError: a tile or an overlap that cannot be had.
        """
        if tile < factor:
            raise ConfigError(f"tile {tile}: the model needs windows of at least {factor} pixels")
        if not 0 <= overlap <= tile // 2:
            raise ConfigError(f"overlap {overlap}: must lie within 0 … {tile // 2}, half of tile {tile}")
        window, shared = tile - tile % factor, _round_up(overlap, factor)
        if shared >= window:
            raise ConfigError(
                f"overlap {overlap}: on the model's grid of {factor} pixels it takes up all of tile {tile}; "
                "choose a larger tile, or overlap 0"
            )
        height, width = (AxisPlan.fit(_round_up(side, factor), window, shared, factor) for side in shape)
        return cls(shape, height, width)

    def part(self, crop: Crop) -> TilePlan:
        """The windows that lie within a crop of the planes.

        Args:
            crop: of planes of this shape.
        """
        axes = zip((self.y, self.x), crop.read, self.shape, strict=True)
        y, x = (axis.part(span.start, span.stop, whole) for axis, span, whole in axes)
        return TilePlan(crop.shape, y, x)

    @property
    def windows(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each window in the padded plane."""
        return [
            (slice(y, y + self.y.window), slice(x, x + self.x.window))
            for y, x in product(self.y.origins, self.x.origins)
        ]

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels added at the bottom and at the right."""
        return self.y.length - self.shape[0], self.x.length - self.shape[1]

    def parts(self) -> list[list[Part]]:
        """Parts of each of ``windows`` that count, so that all that count at a pixel sum to its value.

        Most of a window counts alone, and need not be weighted.
        """
        rows, columns = ([_runs(weight) for weight in axis.weights()] for axis in (self.y, self.x))
        return [
            [_part(*spans) for spans in product(own_rows, own_columns)]
            for own_rows, own_columns in product(rows, columns)
        ]


@dataclass(frozen=True)
class Part:
    """A part of a window, all of whose pixels are blended in one way.

    Attributes:
        place: rows and columns within the window.
        column, row: blend weights (height, 1) and (1, width), whose product is that of each pixel: of large
            planes the products would take as much memory as the planes; None: all weights are 1.
    """

    place: Region
    column: NDArray[np.float32] | None = None
    row: NDArray[np.float32] | None = None

    def within(self, window: Region) -> Region:
        """Rows and columns of the part in the plane.

        Args:
            window: rows and columns of the window.
        """
        y, x = (
            slice(whole.start + own.start, whole.start + own.stop)
            for own, whole in zip(self.place, window, strict=True)
        )
        return y, x


def _part(rows: tuple[slice, NDArray[np.float32]], columns: tuple[slice, NDArray[np.float32]]) -> Part:
    place = rows[0], columns[0]
    if (rows[1] == 1).all() and (columns[1] == 1).all():
        return Part(place)
    return Part(place, rows[1][:, None], columns[1][None])


def _runs(weights: NDArray[np.float32]) -> list[tuple[slice, NDArray[np.float32]]]:
    """Pixels of a window along one axis by whether they weigh 1 or less, without those that weigh nothing."""
    kinds = np.where(weights == 0, 0, np.where(weights == 1, 1, 2))
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    spans = (slice(first, last) for first, last in pairwise(edges))
    return [(span, weights[span]) for span in spans if kinds[span.start]]


@lru_cache(maxsize=32)
def _fit(shape: tuple[int, int], tile: int, overlap: int, factor: int) -> TilePlan:
    return TilePlan.fit(shape, tile, overlap, factor)


def _round_up(value: int, factor: int) -> int:
    return -(-value // factor) * factor
