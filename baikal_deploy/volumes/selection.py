"""A part of a volume, which is a volume of its own and keeps its place in space and time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.pixels.arrays import Raw, Region
from baikal_deploy.volumes.base import Hyperstack, Volume, VolumeInfo
from baikal_deploy.volumes.open import files_of
from baikal_deploy.volumes.urls import Source

Span = slice | int
"""Indices along an axis, as Python has them; a single one keeps the axis."""
Indices = range | tuple[int, ...]

BLOCK = 1024
"""Side, in pixels, of what is read at once where a step leaves some of it out."""
ROI = ("y", "x")
"""The axes of option roi; the others have options of their own names."""


@dataclass(frozen=True)
class SelectedVolume:
    """Part of a volume; made by ``select``.

    Attributes:
        whole: the volume.
        indices: numbers of the part's pixels along each axis of the whole: ranges, but for c.
    """

    whole: Volume
    indices: tuple[Indices, ...]

    @cached_property
    def info(self) -> VolumeInfo:
        """Info of the whole volume with the part's shape; scale and translation keep the coordinates."""
        whole = self.whole.info
        scale, translation = list(whole.scale), list(whole.translation)
        for number, indices in enumerate(self.indices):
            if isinstance(indices, range):
                translation[number] += indices.start * scale[number]
                scale[number] *= indices.step
        return replace(
            whole,
            shape=tuple(map(len, self.indices)),
            scale=tuple(scale),
            translation=tuple(translation),
            omero=_omero_of(whole, self._by_axis),
            hyperstack=self._hyperstack,
            chunk=whole.chunk if {"y", "x"}.isdisjoint(self.record()) else None,  # counted from pixel 0
        )

    @property
    def _hyperstack(self) -> Hyperstack | None:
        found = self.whole.info.hyperstack
        return None if found is None else found.of_channels(self._by_axis.get("c", (0,)))

    @property
    def metadata_files(self) -> Sequence[Source]:
        """Files that tell, by size and time, that the whole volume was written again."""
        return self.whole.metadata_files

    @property
    def files(self) -> frozenset[Path]:
        """Files that the whole volume lies in, links followed; see ``open.HasFiles``."""
        return files_of(self.whole)

    @property
    def is_cut(self) -> bool:
        """True if pixels are left out in space or time."""
        return not {"t", "z", "y", "x"}.isdisjoint(self.record())

    @property
    def origin(self) -> tuple[int, int]:
        """(y, x) of the first pixel in a plane of the whole volume."""
        return self.indices[-2][0], self.indices[-1][0]

    def planes_of_whole(self, planes: Sequence[int], shared: Collection[str] = ()) -> list[int]:
        """Numbers that the part's planes have in the whole volume.

        Args:
            planes: numbers of planes of the part.
            shared: axes along which all planes get the number of the first in the whole volume.
        """
        return [self._plane_of_whole(plane, shared) for plane in planes]

    def _plane_of_whole(self, plane: int, shared: Collection[str] = ()) -> int:
        sizes = self.whole.info.shape[:-2]
        named = zip(self.whole.info.axes, self.indices, self.info.position(plane), strict=False)
        source = [0 if axis.name in shared else indices[along] for axis, indices, along in named]
        return int(np.ravel_multi_index(source, sizes)) if sizes else plane

    def read(self, planes: Sequence[int]) -> Raw:
        """Planes as (N, H, W), in ``info.dtype``; see ``Volume.read``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """
        source = self.planes_of_whole(planes)
        if self.info.plane_shape == self.whole.info.plane_shape:
            return self.whole.read(source)
        every = slice(None)
        return np.stack([self._window(plane, every, every) for plane in source])

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        """Window (h, w) of one plane, in ``info.dtype``; see ``Volume.read_window``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """
        return self._window(self._plane_of_whole(plane), y, x)

    def blocks(self, y: slice, x: slice, least: int = 1) -> Iterator[Region]:
        """Parts of a window none of which shares a chunk with another.

        Args:
            y, x: the window, in the part's pixels.
            least: side of what they cover in the whole volume, in pixels, where chunks are smaller.

        Returns:
            Regions of the part, row by row.
        """
        chunk = (self.whole.info.chunk or (BLOCK, BLOCK))[-2:]
        spans = zip(self.indices[-2:], (y, x), chunk, strict=True)
        rows, columns = (_pieces(indices, span, -(-least // edge) * edge) for indices, span, edge in spans)
        return product(rows, columns)

    def _window(self, source: int, y: slice, x: slice) -> Raw:
        """Window, in the part's pixels, of a plane of the whole volume."""
        rows, columns = self.indices[-2], self.indices[-1]
        assert isinstance(rows, range)
        assert isinstance(columns, range)
        if rows.step == columns.step == 1:
            return self.whole.read_window(source, _covered(rows[y]), _covered(columns[x]))
        out = np.empty((len(rows[y]), len(columns[x])), self.info.dtype)
        top, left = (span.indices(size)[0] for span, size in zip((y, x), self.info.plane_shape, strict=True))
        for v, u in self.blocks(y, x, BLOCK):
            block = self.whole.read_window(source, _covered(rows[v]), _covered(columns[u]))
            at = slice(v.start - top, v.stop - top), slice(u.start - left, u.stop - left)
            out[at] = block[:: rows.step, :: columns.step]
        return out

    @property
    def _by_axis(self) -> dict[str, Indices]:
        return {axis.name: indices for axis, indices in zip(self.whole.info.axes, self.indices, strict=True)}

    def record(self) -> dict[str, Any]:
        """Choice as JSON holds it, by axis: [first, last + 1, step], or a list of channels.

        Axes of which all was taken are left out.
        """
        sizes = zip(self._by_axis.items(), self.whole.info.shape, strict=True)
        return {
            axis: [indices.start, indices.stop, indices.step] if isinstance(indices, range) else list(indices)
            for (axis, indices), size in sizes
            if indices != range(size)
        }


def select(
    volume: Volume, spans: Mapping[str, Span], channels: Sequence[int] | None = None
) -> SelectedVolume:
    """Part of a volume.

    Args:
        volume: the whole.
        spans: by axis, t, z, y or x; all of the axes that are not named is taken.
        channels: their numbers; None: all.

    Raises:
        VolumeError: an axis that is not there, or indices that are not.
    """
    info = volume.info
    names = [axis.name for axis in info.axes]
    for axis, span in spans.items():
        if axis not in names:
            raise VolumeError(
                f"{info.path}: --{_option(axis)} {spell(span)}: the volume has no axis {axis}, only "
                f"{', '.join(names)}; leave it out"
            )
    indices: list[Indices] = [
        _resolved(info.path, axis, spans[axis], size) if axis in spans else range(size)
        for axis, size in zip(names, info.shape, strict=True)
    ]
    if channels is not None and "c" in names:
        indices[names.index("c")] = tuple(channels)
    return SelectedVolume(volume, tuple(indices))


def select_alike(volume: Volume, part: SelectedVolume) -> SelectedVolume:
    """The same part of another volume of the same shape.

    Args:
        volume: the other volume.
        part: the part of the first.
    """
    return SelectedVolume(volume, part.indices)


def spell(span: Span) -> str:
    """Span as it is written, such as "5:20", "::2" and "3"."""
    if isinstance(span, int):
        return str(span)
    bounds = [span.start, span.stop, *([] if span.step is None else [span.step])]
    return ":".join("" if bound is None else str(bound) for bound in bounds)


def check_span(axis: str, span: Span) -> None:
    """Refuse what no axis can be indexed with.

    Args:
        axis: t, z, y or x, for messages.
        span: the indices.

    Raises:
        ConfigError: indices that are not integers, or a step below 1.
    """
    bounds = [span.start, span.stop, span.step] if isinstance(span, slice) else [span]
    if not all(bound is None or isinstance(bound, int) for bound in bounds):
        raise ConfigError(f"--{_option(axis)} {span}: give a slice or an index, in integers")
    if isinstance(span, slice) and span.step is not None and span.step < 1:
        raise ConfigError(f"--{_option(axis)} {spell(span)}: the step must be at least 1")


def _covered(indices: range) -> slice:
    return slice(indices.start, indices[-1] + 1)


def _pieces(indices: Indices, span: slice, edge: int) -> list[slice]:
    """Split a span of a part's axis where the whole's pixels are in another chunk, or row of chunks."""
    numbers = range(*span.indices(len(indices)))
    alike = (list(own) for _, own in groupby(numbers, lambda number: indices[number] // edge))
    return [slice(own[0], own[-1] + 1) for own in alike]


def _option(axis: str) -> str:
    return "roi" if axis in ROI else axis


def _resolved(path: Source, axis: str, span: Span, size: int) -> range:
    bounds = slice(span, span + 1 or None) if isinstance(span, int) else span
    indices = range(*bounds.indices(size))
    inside = all(
        bound is None or -size <= bound <= most
        for bound, most in ((bounds.start, size - 1), (bounds.stop, size))
    )
    if not inside or not indices:
        what = "holds nothing" if inside else "is out of range"
        raise VolumeError(
            f"{path}: --{_option(axis)} {spell(span)}: {what}; axis {axis} has the indices 0 to {size - 1}"
        )
    return indices


def _omero_of(whole: VolumeInfo, chosen: Mapping[str, Indices]) -> dict[str, Any] | None:
    """The omero block of the part: its channels, and the planes that viewers show first."""
    omero = dict(whole.omero or {})
    channels = omero.get("channels")
    if "c" in chosen and isinstance(channels, list) and len(channels) == whole.num_channels:
        omero["channels"] = [channels[channel] for channel in chosen["c"]]
    if isinstance(omero.get("rdefs"), dict):
        omero["rdefs"] = shown = dict(omero["rdefs"])
        for axis, key in (("t", "defaultT"), ("z", "defaultZ")):
            if key in shown and axis in chosen:
                shown[key] = chosen[axis].index(shown[key]) if shown[key] in chosen[axis] else 0
    return omero if whole.omero is not None else None
