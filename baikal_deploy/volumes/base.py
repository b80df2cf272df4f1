"""Volumes: their axes, their planes, and how these are numbered; what reads them.

A plane is one (H, W) image. Planes are numbered in C order of the leading axes, which are all axes
but y and x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.pixels.arrays import Raw, Region
from baikal_deploy.volumes.urls import Source

AXIS_NAMES = ("t", "c", "z", "y", "x")

MOST_BYTES = 2**62
"""Largest size of a volume, in bytes: beyond, the numbers of pixels are not numbers for NumPy."""


@dataclass(frozen=True)
class Axis:
    """One axis: "t", "c", "z", "y" or "x", and the unit of its scale (an NGFF name), if known."""

    name: str
    unit: str | None = None


@dataclass(frozen=True)
class Hyperstack:
    """The way in which ImageJ shows an image, for one that was a hyperstack and becomes one again.

    Attributes:
        mode: "composite", "color" or "grayscale"; None: ImageJ's own choice.
        palettes: one for each channel, of 256 values of red, then green, then blue; none where they are grey.
    """

    mode: str | None = None
    palettes: tuple[bytes, ...] = ()

    def of_channels(self, channels: Sequence[int]) -> Hyperstack:
        """The same of some of the channels.

        Args:
            channels: their numbers.
        """
        return Hyperstack(self.mode, tuple(self.palettes[number] for number in channels if self.palettes))


@dataclass(frozen=True)
class VolumeInfo:
    """Everything known of a volume but its pixels. Checked when made.

    Attributes:
        path: where the volume lies; for messages.
        axes: in NGFF order: any of t, c, z, and then y, x.
        shape: one size per axis.
        dtype: integer or real, in native byte order.
        scale: pixel size per axis, in the axis' unit; 1 where it is unknown.
        translation: position of the centre of pixel 0 per axis, in the axis' unit.
        name: the image's name.
        omero: the NGFF "omero" block (channel labels, colours, display windows), as it was found.
        chunk: what is decoded together to read any pixel of it, one size per axis, counted from pixel 0; None
            where pixels are read as they are.
        hyperstack: how ImageJ shows it, if it is one of its hyperstacks; else None.
        remarks: what a user should know of how the file was read, in sentences.

    Raises:
        VolumeError: axes, shape, pixel type or scale which this package cannot work on.
    """

    path: Source
    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    name: str | None = None
    omero: dict[str, Any] | None = None
    chunk: tuple[int, ...] | None = None
    hyperstack: Hyperstack | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_axes()
        self._check_pixels()
        self._check_geometry()

    def _check_axes(self) -> None:
        names = [axis.name for axis in self.axes]
        if names != [name for name in AXIS_NAMES if name in names] or names[-2:] != ["y", "x"]:
            raise VolumeError(
                f"{self.path}: axes ({', '.join(names)}) are not supported; they must be some of t, c, z, "
                f"and then y, x, in this order, each once: rename or transpose them"
            )
        if len(names) != len(self.shape):
            raise VolumeError(
                f"{self.path}: the metadata has {len(names)} axes ({', '.join(names)}), but the array "
                f"has {len(self.shape)} dimensions {self.shape}; correct the metadata"
            )

    def _check_pixels(self) -> None:
        if 0 in self.shape:
            raise VolumeError(f"{self.path}: shape {self.shape} holds no pixels; check how it was written")
        if math.prod(self.shape) * self.dtype.itemsize > MOST_BYTES:
            raise VolumeError(
                f"{self.path}: shape {self.shape} is larger than any disk; correct the metadata"
            )
        if self.dtype.kind not in "iuf":
            raise VolumeError(
                f"{self.path}: pixels of type {self.dtype} are not supported; "
                f"convert it to an integer or real type such as uint16 or float32"
            )

    def _check_geometry(self) -> None:
        for label, values in (("scale", self.scale), ("translation", self.translation)):
            if len(values) != len(self.axes) or not all(map(math.isfinite, values)):
                raise VolumeError(
                    f"{self.path}: {label} {list(values)} must be one finite number for each of the "
                    f"{len(self.axes)} axes; correct the metadata"
                )
        if min(self.scale) <= 0:
            raise VolumeError(
                f"{self.path}: scale {list(self.scale)} must be positive; correct the pixel size"
            )

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Shape of a plane: (H, W)."""
        return self.shape[-2], self.shape[-1]

    @cached_property
    def num_planes(self) -> int:
        """Number of planes, over all leading axes."""
        return math.prod(self.shape[:-2])

    @property
    def num_channels(self) -> int:
        """Size of the c axis; 1 without one."""
        return self.shape[self._channel_axis] if self._channel_axis is not None else 1

    @property
    def has_time(self) -> bool:
        """True if there is an axis t."""
        return any(axis.name == "t" for axis in self.axes)

    @cached_property
    def _channel_axis(self) -> int | None:
        return next((i for i, axis in enumerate(self.axes) if axis.name == "c"), None)

    def position(self, plane: int) -> tuple[int, ...]:
        """Indices of a plane on the leading axes.

        Args:
            plane: its number.

        Raises:
            VolumeError: there is no such plane.
        """
        if not 0 <= plane < self.num_planes:
            raise VolumeError(
                f"{self.path}: no plane {plane}; planes are numbered 0 to {self.num_planes - 1}"
            )
        return tuple(int(index) for index in np.unravel_index(plane, self.shape[:-2]))

    def channel(self, plane: int) -> int:
        """Index of a plane on the c axis; 0 without one.

        Args:
            plane: its number.

        Raises:
            VolumeError: there is no such plane.
        """
        position = self.position(plane)
        return position[self._channel_axis] if self._channel_axis is not None else 0

    def channel_name(self, channel: int) -> str:
        """Name of a channel: the label in the omero block, else "channel 0" and so on.

        Args:
            channel: its index on the c axis.
        """
        try:
            label = (self.omero or {})["channels"][channel]["label"]
        except (KeyError, IndexError, TypeError):  # the block is the input's and may have any form
            label = None
        return label if isinstance(label, str) and label else f"channel {channel}"

    def describe(self, plane: int) -> str:
        """Position of a plane, for messages: "t=0 c=1 z=4"; "plane 0" without leading axes.

        Args:
            plane: its number.

        Raises:
            VolumeError: there is no such plane.
        """
        position = self.position(plane)
        named = [f"{axis.name}={index}" for axis, index in zip(self.axes[:-2], position, strict=True)]
        return " ".join(named) or f"plane {plane}"

    def describe_range(self, planes: Sequence[int]) -> str:
        """Numbers and positions of planes, for messages: "planes 3 to 5 (c=0 z=3 to c=0 z=5)".

        Args:
            planes: their numbers; at least one.

        Raises:
            VolumeError: there is no such plane.
        """
        first, last = min(planes), max(planes)
        if first == last:
            return f"plane {first} ({self.describe(first)})" if self.shape[:-2] else f"plane {first}"
        return f"planes {first} to {last} ({self.describe(first)} to {self.describe(last)})"


@dataclass(frozen=True)
class WorkItem:
    """Consecutive planes which share one output shard: the unit of work and of writing.

    They have one channel, and one position on all leading axes but one.

    Attributes:
        index: number of the item in its plan.
        planes: plane numbers.
        region: of these planes; None: they are whole.
    """

    index: int
    planes: range
    region: Region | None = None


@dataclass(frozen=True)
class Reduction:
    """Shard of a pyramid's level that is made of the level above, once that is complete.

    Attributes:
        index: number that no item and no other reduction has.
        level: number of the level that is written.
        planes: plane numbers.
        region: in that level.
    """

    index: int
    level: int
    planes: range
    region: Region


class Volume(Protocol):
    """A source of planes."""

    @property
    def info(self) -> VolumeInfo: ...

    @property
    def metadata_files(self) -> Sequence[Source]:
        """Files that tell, by size and time, that the volume was written again."""

    def read(self, planes: Sequence[int]) -> Raw:
        """Read planes.

        Args:
            planes: their numbers.

        Returns:
            (N, H, W), in ``info.dtype``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        """Read a window of one plane.

        Args:
            plane: its number.
            y: rows.
            x: columns.

        Returns:
            (h, w), in ``info.dtype``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """
