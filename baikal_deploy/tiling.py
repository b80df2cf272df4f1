"""Windows over planes: an engine that takes planes of any size.

Samplers work on whole planes; only the network call is cut into overlapping windows, which are
blended at every step. That keeps the tiles of a diffusion walk from drifting apart, which
feathering finished tiles cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from baikal_deploy.engines.base import Engine, Planes
from baikal_deploy.errors import ConfigError

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
        """The fewest windows of at most ``tile`` pixels that overlap by at least ``overlap``, each no
        longer than need be. All arguments are multiples of ``factor``, and the origins become so."""
        if length <= tile:
            return cls(length, length, (0,))
        count = -(-(length - overlap) // (tile - overlap))
        window = _round_up(-(-(length + (count - 1) * overlap) // count), factor)
        steps = (length - window) // factor
        origins = tuple(steps * i // (count - 1) * factor for i in range(count))
        return cls(length, window, origins)

    def weights(self) -> NDArray[np.float32]:
        """Blend weight of each window at each of its pixels: (len(origins), window).

        Across an overlap of o pixels the weight passes from one window to the next in the middle
        quarter; the outer 3/8 of each window's share, where the window's border shows, count
        nothing. So blending is exact where 3/8 of the overlap reach as far as the network does.
        The weights of all windows sum to 1 at every pixel.
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
    """How planes of one shape are cut into windows of one shape.

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

    @property
    def windows(self) -> list[tuple[slice, slice]]:
        """Where each window lies in the padded plane."""
        return [
            (slice(y, y + self.y.window), slice(x, x + self.x.window))
            for y, x in product(self.y.origins, self.x.origins)
        ]

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels added at the bottom and at the right."""
        return self.y.length - self.shape[0], self.x.length - self.shape[1]

    def blend_weights(self) -> list[NDArray[np.float32]]:
        """One (window height, window width) array for each of ``windows``."""
        return [np.outer(a, b) for a, b in product(self.y.weights(), self.x.weights())]


@dataclass(frozen=True)
class TiledPredictor:
    """Wraps an engine and looks like one, for planes of any size.

    Attributes:
        engine: evaluates the windows.
        tile, overlap: see ``TilePlan.fit``.
        batch: windows in one engine call; a last, smaller batch is padded, since vendor kernels may
            round differently for another batch shape.
    """

    engine: Engine
    tile: int = DEFAULT_TILE
    overlap: int = DEFAULT_OVERLAP
    batch: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ConfigError(f"batch {self.batch}: must be at least 1")
        self.plan((1, 1))

    def plan(self, shape: tuple[int, int]) -> TilePlan:
        """The windows over planes of ``shape`` (H, W)."""
        return _fit(shape, self.tile, self.overlap, self.engine.manifest.downsampling)

    def predict(self, x_t: Planes, t: float) -> tuple[Planes, Planes | None]:
        """As ``Engine.predict``, for any H and W."""
        height, width = x_t.shape[2:]
        plan = self.plan((height, width))
        bottom, right = plan.padding
        x_t = _reflected(_reflected(x_t, 2, bottom), 3, right)
        eps, v = self._blended(x_t, t, plan)
        return eps[..., :height, :width], None if v is None else v[..., :height, :width]

    def _blended(self, x_t: Planes, t: float, plan: TilePlan) -> tuple[Planes, Planes | None]:
        windows = plan.windows
        places = [(plane, window) for plane in range(len(x_t)) for window in range(len(windows))]
        if len(windows) == 1 and len(x_t) == self.batch:
            return self.engine.predict(x_t, t)
        xp = array_namespace(x_t)
        weights = [xp.asarray(weight, device=device(x_t)) for weight in plan.blend_weights()]
        eps, v = xp.zeros_like(x_t), None
        for group in _groups(places, self.batch):
            crops = [x_t[(plane, slice(None), *windows[window])] for plane, window in group]
            crops += crops[-1:] * (self.batch - len(crops))
            outputs = self.engine.predict(xp.stack(crops), t)
            if outputs[1] is not None and v is None:
                v = xp.zeros_like(x_t)
            for total, output in zip((eps, v), outputs, strict=True):
                for place, (plane, window) in enumerate([] if output is None else group):
                    assert total is not None
                    assert output is not None
                    total[(plane, slice(None), *windows[window])] += weights[window] * output[place, ...]
        return eps, v


def _reflected(planes: Planes, axis: int, margin: int) -> Planes:
    """Planes with a margin at the end of an axis, by reflection."""
    if not margin:
        return planes
    xp = array_namespace(planes)
    indices = np.pad(np.arange(planes.shape[axis]), (0, margin), mode="reflect")
    padded: Planes = xp.take(planes, xp.asarray(indices, device=device(planes)), axis=axis)
    return padded


@lru_cache(maxsize=32)
def _fit(shape: tuple[int, int], tile: int, overlap: int, factor: int) -> TilePlan:
    return TilePlan.fit(shape, tile, overlap, factor)


def _groups(items: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _round_up(value: int, factor: int) -> int:
    return -(-value // factor) * factor
