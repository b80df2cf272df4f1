"""Windows over planes: an engine that takes planes of any size.

Samplers work on whole planes; only the network call is cut into overlapping windows, which are
blended at every step. That keeps the tiles of a diffusion walk from drifting apart, which
feathering finished tiles cannot.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.arrays import array_namespace, device
from baikal_deploy.engines.base import Engine, Planes
from baikal_deploy.errors import ConfigError

DEFAULT_TILE = 512
DEFAULT_OVERLAP = 64
MOST_PLANES = 4096
"""Of a batch: more would fill the memory, and make nothing faster."""
SYMMETRIES = 8
"""In which a sampler may turn planes."""


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

    def part(self, crop: Crop) -> TilePlan:
        """The windows that lie within a crop of the planes."""
        axes = zip((self.y, self.x), crop.origin, crop.shape, self.shape, strict=True)
        y, x = (axis.part(start, start + size, whole) for axis, start, size, whole in axes)
        return TilePlan(crop.shape, y, x)

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

    def blend_weights(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """For each of ``windows`` a column (window height, 1) and a row (1, window width), whose product
        it is: of large planes the products would take as much memory as the planes."""
        return list(product(self.y.weights()[:, :, None], self.x.weights()[:, None, :]))


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
    _kept: dict[Hashable, _Tools] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST_PLANES:
            raise ConfigError(f"batch {self.batch}: must lie within 1 … {MOST_PLANES}")
        self.plan((1, 1))

    def plan(self, shape: tuple[int, int]) -> TilePlan:
        """The windows over planes of ``shape`` (H, W)."""
        return _fit(shape, self.tile, self.overlap, self.engine.manifest.downsampling)

    def predict(self, x_t: Planes, t: float, crop: Crop | None = None) -> tuple[Planes, Planes | None]:
        """As ``Engine.predict``, for any H and W.

        Args:
            crop: where the planes lie in larger ones. Then these decide the windows, of which those within
                the crop count: its border pixels may lie in none, where all that is returned is 0.
        """
        height, width = x_t.shape[2:]
        tools = self._tools(crop or Crop.none((height, width)), x_t)
        for axis, indices in tools.reflections.items():
            x_t = array_namespace(x_t).take(x_t, indices, axis=axis)
        eps, v = self._blended(x_t, t, tools)
        return eps[..., :height, :width], None if v is None else v[..., :height, :width]

    def evaluate_once(self, shape: tuple[int, int]) -> None:
        """Evaluate the network for the windows of planes of ``shape``, and wait until that is done."""
        plan = self.plan(shape)
        windows = self.engine.upload(np.zeros((self.batch, 1, plan.y.window, plan.x.window), np.float32))
        self.engine.download(self.engine.predict(windows, 0)[0])

    def _tools(self, crop: Crop, like: Planes) -> _Tools:
        """Those for planes of a crop beside ``like``; kept, since a walk needs them at every step."""
        key = crop, array_namespace(like), str(device(like))  # CuPy's devices cannot be hashed
        tools = self._kept.get(key)
        if tools is None:
            tools = _Tools.make(self.plan(crop.whole).part(crop), like)
            if len(self._kept) == SYMMETRIES:  # all that the planes of a run have at a time
                self._kept.clear()
            self._kept[key] = tools
        return tools

    def _blended(self, x_t: Planes, t: float, tools: _Tools) -> tuple[Planes, Planes | None]:
        count, windows, weights = x_t.shape[0], tools.windows, tools.weights
        if windows == [(slice(0, x_t.shape[2]), slice(0, x_t.shape[3]))] and count == self.batch:
            return self.engine.predict(x_t, t)
        places = [(plane, window) for plane in range(count) for window in range(len(windows))]
        xp = array_namespace(x_t)
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
                    column, row = weights[window]
                    total[(plane, slice(None), *windows[window])] += column * row * output[place, ...]
        return eps, v


@dataclass(frozen=True)
class _Tools:
    """What a plan needs at every step, on the device of the planes.

    Attributes:
        windows: see ``TilePlan.windows``.
        weights: see ``TilePlan.blend_weights``.
        reflections: for each axis of the planes that has to be padded, the pixels it then holds.
    """

    windows: list[tuple[slice, slice]]
    weights: list[tuple[Planes, Planes]]
    reflections: dict[int, NDArray[np.int64]]

    @classmethod
    def make(cls, plan: TilePlan, like: Planes) -> _Tools:
        xp, where = array_namespace(like), device(like)
        weights = [
            (xp.asarray(column, device=where), xp.asarray(row, device=where))
            for column, row in plan.blend_weights()
        ]
        reflections = {}
        for axis, (side, margin) in enumerate(zip(plan.shape, plan.padding, strict=True), start=2):
            if margin:
                indices = np.pad(np.arange(side), (0, margin), mode="reflect")
                reflections[axis] = xp.asarray(indices, device=where)
        return cls(plan.windows, weights, reflections)


@lru_cache(maxsize=32)
def _fit(shape: tuple[int, int], tile: int, overlap: int, factor: int) -> TilePlan:
    return TilePlan.fit(shape, tile, overlap, factor)


def _groups(items: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _round_up(value: int, factor: int) -> int:
    return -(-value // factor) * factor
