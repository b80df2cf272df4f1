"""Images of any axes, of which one channel is seen as planes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_training.data.readers.base import Index, Pixels, reason

Channel = int | str | None
"""Number or name of a channel; None takes the only one."""
SMALLEST_SIDE = 16


@dataclass(frozen=True, eq=False)
class Image:
    """An image in a file.

    Attributes:
        name: the file, and what identifies the image inside it.
        pixels: indexed by one integer or slice per axis.
        shape, dtype: of the pixels.
        axes: a letter per axis, "c" for channels; those before "yx" which are not, count planes.
        channels: the channels' names, if the file has any.

    Raises:
        VolumeError: axes, a shape or a pixel type that is not supported.
    """

    name: str
    pixels: Pixels
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        found = f"its pixels are {self.dtype} of shape {self.shape}, axes {self.axes.upper()}"
        if len(self.axes) != len(self.shape) or self.axes[-2:] != "yx" or self.axes.count("c") > 1:
            raise VolumeError(
                f"{self.name}: {found}; needed is one channel axis at most, and Y, X at the end"
            )
        if self.dtype.kind not in "uif":
            raise VolumeError(f"{self.name}: {found}; needed are grey levels, integer or real: convert it")
        if 0 in self.shape or min(self.shape[-2:]) < SMALLEST_SIDE:
            raise VolumeError(
                f"{self.name}: {found}; planes must have {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels or more"
            )

    def planes(self, channel: Channel) -> ImagePlanes:
        """One channel.

        Raises:
            VolumeError: there are several and none is chosen, or the chosen one does not exist.
        """
        number = self._channel_number(channel)
        several = self._num_channels > 1
        return ImagePlanes(f"{self.name}, channel {number}" if several else self.name, self, number)

    def all_planes(self) -> list[ImagePlanes]:
        """Every channel."""
        return [self.planes(channel) for channel in range(self._num_channels)]

    def along(self, axis: str) -> list[Image]:
        """The images at each place of an axis; this one where it has no such axis."""
        at = self.axes.find(axis)
        if at < 0:
            return [self]
        shape, axes = self.shape[:at] + self.shape[at + 1 :], self.axes.replace(axis, "")
        return [
            replace(
                self,
                name=f"{self.name}, {axis} {place}",
                pixels=Section(self.pixels, at, place),
                shape=shape,
                axes=axes,
            )
            for place in range(self.shape[at])
        ]

    @property
    def _num_channels(self) -> int:
        return self.shape[self.axes.index("c")] if "c" in self.axes else 1

    @property
    def _channel_names(self) -> tuple[str, ...]:
        """A name for each channel; "" for those without."""
        return (*self.channels, *("" for _ in range(self._num_channels)))[: self._num_channels]

    def _channel_number(self, channel: Channel) -> int:
        if channel is None and self._num_channels == 1:
            return 0
        if channel and isinstance(channel, str) and self._channel_names.count(channel) == 1:
            return self._channel_names.index(channel)
        if isinstance(channel, int) and 0 <= channel < self._num_channels:
            return channel
        wanted = (
            "choose one" if channel is None else f"{channel!r} is not exactly one of them; choose another"
        )
        raise VolumeError(f"{self.name}: has {self._listing()}; {wanted} with --channel")

    def _listing(self) -> str:
        names = self._channel_names
        entries = ", ".join(
            f"{number} {name!r}" if name else str(number) for number, name in enumerate(names)
        )
        return f"{len(names)} channels ({entries})" if len(names) > 1 else f"one channel ({entries})"


@dataclass(frozen=True)
class Section:
    """Pixels at one place of an axis."""

    pixels: Pixels
    axis: int
    place: int

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        return self.pixels[(*index[: self.axis], self.place, *index[self.axis :])]


@dataclass(frozen=True, eq=False)
class ImagePlanes:
    """One channel of an image; a ``Planes``."""

    name: str
    image: Image
    channel: int

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width = self.image.shape[-2:]
        return math.prod(self._leading), height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.image.dtype.newbyteorder("=")

    @property
    def _leading(self) -> tuple[int, ...]:
        return tuple(
            n for n, axis in zip(self.image.shape[:-2], self.image.axes, strict=False) if axis != "c"
        )

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """A window (h, w) of one plane.

        Raises:
            VolumeError: it cannot be decoded.
        """
        position = tuple(int(i) for i in np.unravel_index(plane, self._leading))
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        return self._get(f"plane {plane}", (*position, rows, columns), shape)

    def read_all(self) -> NDArray[Any]:
        """All planes (N, H, W).

        Raises:
            VolumeError: they cannot be decoded.
        """
        everything = (slice(0, size) for size in (*self._leading, *self.image.shape[-2:]))
        return self._get("a plane", tuple(everything), (*self._leading, *self.shape[1:])).reshape(self.shape)

    def _get(self, where: str, index: Index, shape: tuple[int, ...]) -> NDArray[Any]:
        at = self.image.axes.find("c")
        if at >= 0:
            index = (*index[:at], self.channel, *index[at:])
        try:
            pixels = np.asarray(self.image.pixels[index])
        except (VolumeError, MemoryError):
            raise
        except Exception as error:  # every codec raises exceptions of its own
            raise VolumeError(
                f"{self.name}: {where} cannot be read ({reason(error)}); the file is damaged: replace it"
            ) from error
        if pixels.shape != shape:
            raise VolumeError(f"{self.name}: {where} is cut short; the file is damaged: replace it")
        return pixels.astype(self.dtype, copy=False)
