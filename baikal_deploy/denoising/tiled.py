"""Windows over planes: an engine that takes planes of any size.

Samplers work on whole planes; only the network call is cut into overlapping windows, which are
blended at every step. That keeps the tiles of a diffusion walk from drifting apart, which
feathering finished tiles cannot.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.windows import DEFAULT_OVERLAP, DEFAULT_TILE, Part, TilePlan, _fit
from baikal_deploy.engines.base import Engine
from baikal_deploy.errors import ConfigError
from baikal_deploy.pixels.arrays import Planes, Region, array_namespace, device

MOST_PLANES = 4096
"""Largest batch, in planes: more would fill the memory, and make nothing faster."""
SYMMETRIES = 8
"""Symmetries of the square in which a sampler may turn planes."""


@dataclass(frozen=True)
class TiledPredictor:
    """Wraps an engine and looks like one, for planes of any size.

    Attributes:
        engine: evaluates the windows.
        tile, overlap: see ``TilePlan.fit``.
        batch: windows in one engine call; a last, smaller batch is padded, since vendor kernels may
            round differently for another batch shape.
        planes: that are walked together.
    """

    engine: Engine
    tile: int = DEFAULT_TILE
    overlap: int = DEFAULT_OVERLAP
    batch: int = 1
    planes: int = 1
    _kept: dict[Hashable, _Tools] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST_PLANES:
            raise ConfigError(f"batch {self.batch}: must lie within 1 … {MOST_PLANES}")
        self.plan((1, 1))

    def plan(self, shape: tuple[int, int]) -> TilePlan:
        """Windows over planes of one shape.

        Args:
            shape: (H, W).
        """
        return _fit(shape, self.tile, self.overlap, self.engine.manifest.downsampling)

    def fitted(self, planes: int, windows: int) -> Self:
        """The same for items of one size: as many planes together as fill a call, and none with no windows.

        Args:
            planes: of an item.
            windows: over a plane, or over a region of one.
        """
        together = min(max(1, self.batch // windows), planes)
        return replace(self, batch=min(self.batch, together * windows), planes=together)

    def predict(self, x_t: Planes, t: float, crop: Crop | None = None) -> tuple[Planes, Planes | None]:
        """Evaluate the network for planes of any H and W, as ``Engine.predict`` does for windows.

        Args:
            x_t: (N, 1, H, W) on the network's scale.
            t: original timestep.
            crop: where the planes lie in larger ones. Then these decide the windows, of which those within
                the crop count: its border pixels may lie in none, where all that is returned is 0.

        Returns:
            eps, and v or None, each (N, 1, H, W).

        Raises:
            EngineError: the network failed.
        """
        height, width = x_t.shape[2:]
        tools = self._tools(crop or Crop.uncut((height, width)), x_t)
        for axis, indices in tools.reflections.items():
            x_t = array_namespace(x_t).take(x_t, indices, axis=axis)
        eps, v = self._blended(x_t, t, tools)
        return eps[..., :height, :width], None if v is None else v[..., :height, :width]

    def evaluate_once(self, shape: tuple[int, int]) -> None:
        """Evaluate the network for the windows of planes of ``shape``, and wait until that is done.

        Args:
            shape: (H, W).

        Raises:
            EngineError: the network failed.
        """
        plan = self.plan(shape)
        windows = self.engine.upload(np.zeros((self.batch, 1, plan.y.window, plan.x.window), np.float32))
        self.engine.download(self.engine.predict(windows, 0)[0])

    def _tools(self, crop: Crop, like: Planes) -> _Tools:
        """Tools for planes of a crop beside ``like``; kept, since a walk needs them at every step."""
        plan = self.plan(crop.whole).part(crop)
        key = plan, array_namespace(like), str(device(like))  # CuPy's devices cannot be hashed
        tools = self._kept.get(key)
        if tools is None:
            tools = _Tools.make(plan, like)
            if len(self._kept) == SYMMETRIES:  # all that the planes of a run have at a time
                self._kept.clear()
            self._kept[key] = tools
        return tools

    def _blended(self, x_t: Planes, t: float, tools: _Tools) -> tuple[Planes, Planes | None]:
        count, windows = x_t.shape[0], tools.windows
        if windows == [(slice(0, x_t.shape[2]), slice(0, x_t.shape[3]))] and count == self.batch:
            return self.engine.predict(x_t, t)
        places = [(plane, window) for plane in range(count) for window in range(len(windows))]
        xp = array_namespace(x_t)
        eps, v = xp.zeros_like(x_t), None
        for group in _groups(places, self.batch):
            crops = [x_t[(plane, slice(None), *windows[window])] for plane, window in group]
            crops += crops[-1:] * (self.batch - len(crops))
            outputs = self.engine.predict(xp.stack(crops) if len(crops) > 1 else crops[0][None, ...], t)
            if outputs[1] is not None and v is None:
                v = xp.zeros_like(x_t)
            for total, output in zip((eps, v), outputs, strict=True):
                for place, (plane, window) in enumerate([] if output is None else group):
                    assert total is not None
                    assert output is not None
                    tools.blend(total, plane, output[place, ...], window)
        return eps, v


@dataclass(frozen=True)
class _Tools:
    """The arrays that a plan needs at every step, on the device of the planes.

    Attributes:
        windows: see ``TilePlan.windows``.
        parts: see ``TilePlan.parts``; of each window their places in it and in the plane, and their weights.
        reflections: for each axis of the planes that has to be padded, the pixels it then holds.
    """

    windows: list[tuple[slice, slice]]
    parts: list[list[tuple[Region, Region, Planes | None]]]
    reflections: dict[int, NDArray[np.int64]]

    @classmethod
    def make(cls, plan: TilePlan, like: Planes) -> _Tools:
        xp, where = array_namespace(like), device(like)

        def weights(part: Part) -> Planes | None:
            if part.column is None or part.row is None:
                return None
            column, row = (xp.asarray(own, device=where) for own in (part.column, part.row))
            product: Planes = column * row
            return product

        parts = [
            [(part.place, part.within(window), weights(part)) for part in own]
            for window, own in zip(plan.windows, plan.parts(), strict=True)
        ]
        reflections = {}
        for axis, (side, margin) in enumerate(zip(plan.shape, plan.padding, strict=True), start=2):
            if margin:
                indices = np.pad(np.arange(side), (0, margin), mode="reflect")
                reflections[axis] = xp.asarray(indices, device=where)
        return cls(plan.windows, parts, reflections)

    def blend(self, total: Planes, plane: int, output: Planes, window: int) -> None:
        """Put what the network says of a window where it belongs.

        Args:
            total: (N, 1, H, W).
            plane: number of the window's plane.
            output: of the network, (1, height, width).
            window: its number.
        """
        for (rows, columns), (y, x), weights in self.parts[window]:
            if weights is None:  # the only window there
                total[plane, :, y, x] = output[:, rows, columns]
            else:
                total[plane, :, y, x] += weights * output[:, rows, columns]


def _groups(items: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
