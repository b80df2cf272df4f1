"""One acquisition of pymmcore-plus: its frames that are under way, and the images they are written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from baikal_deploy.live.sink import FrameSink, stream_info
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.naming import renamed

if TYPE_CHECKING:
    import useq

IMAGES = ("p", "g", "cam")
"""Axes that no image has: of several positions on them each has an image of its own."""


class Acquisition:
    """An acquisition from the start of its sequence to the last of its frames.

    Attributes:
        dropped: indices of the frames that were dropped.
    """

    def __init__(self, sequence: useq.MDASequence, pixel_size: float, sink: Path | None) -> None:
        """Begin an acquisition.

        Args:
            sequence: its positions, channels and axes.
            pixel_size: in micrometres, 0 if it is not known.
            sink: OME-Zarr to write to; None if nothing is to be written.
        """
        self.dropped = list[dict[str, int]]()
        self._sequence, self._pixel_size, self._sink = sequence, pixel_size, sink
        self._images = dict[Path, FrameSink]()
        self._lock, self._under_way, self._ended = Lock(), 0, False

    def taken(self) -> None:
        """Count one more frame that is under way."""
        with self._lock:
            self._under_way += 1

    def done(self) -> bool:
        """Count one frame less that is under way; return True if all is over."""
        with self._lock:
            self._under_way -= 1
            return self._ended and self._under_way == 0

    def end(self) -> bool:
        """Expect no more frames; return True if all is over."""
        with self._lock:
            self._ended = True
            return self._under_way == 0

    def write(self, index: Mapping[str, int], frame: Raw) -> None:
        """Write a frame (H, W) to the image that its index belongs to; nothing without a sink.

        Raises:
            VolumeError: a position that the image does not have, or where a frame is already, a frame of
                another shape or type than the first, or a full disk and the like.
        """
        if self._sink is None:
            return
        parts = self._parts(index.get("p", 0))
        sizes = {axis: size for part in parts for axis, size in _by_name(part.sizes).items() if size}
        names = [f"_{axis}{index[axis]}" for axis in IMAGES if axis in index and sizes.get(axis) != 1]
        path = renamed(self._sink, "".join(names))
        if path not in self._images:
            self._images[path] = FrameSink(path, self._info(path, parts, sizes))
        self._images[path].write({axis: at for axis, at in index.items() if axis not in IMAGES}, frame)

    def finish(self, provenance: Mapping[str, Any]) -> list[Path]:
        """Complete the images that were written; return their paths.

        Raises:
            VolumeError: a full disk and the like.
        """
        for image in self._images.values():
            image.finish({**provenance, "frames": {"written": len(image.written), "dropped": self.dropped}})
        return [path for path, image in self._images.items() if image.written]

    def _parts(self, position: int) -> list[useq.MDASequence]:
        """The sequence, and what a position has of its own, which comes in addition or instead."""
        positions = self._sequence.stage_positions
        own = positions[position].sequence if position < len(positions) else None
        return [self._sequence] if own is None else [self._sequence, own]

    def _info(self, path: Path, parts: list[useq.MDASequence], sizes: Mapping[str, int]) -> VolumeInfo:
        scale = {"y": self._pixel_size, "x": self._pixel_size}
        channels: list[str] = []
        for part in parts:
            scale |= {axis: step for axis, step in _steps(part).items() if axis in part.used_axes}
            channels = [channel.config for channel in part.channels] or channels
        leading = {axis: size for axis, size in sizes.items() if axis in "tcz"}
        return stream_info(path, leading, {axis: step for axis, step in scale.items() if step}, channels)


def _steps(sequence: useq.MDASequence) -> dict[str, float]:
    """Steps of time in seconds and of z in micrometres: 0 where they are not known."""
    interval = getattr(sequence.time_plan, "interval", None)
    return {
        "t": 0.0 if interval is None else interval.total_seconds(),
        "z": abs(float(getattr(sequence.z_plan, "step", 0) or 0)),
    }


def index_of(event: useq.MDAEvent) -> dict[str, int]:
    """Position of a frame in its acquisition, by axis."""
    return _by_name(event.index)


def _by_name(values: Mapping[Any, int]) -> dict[str, int]:
    """Indices by the names of their axes, whether these are members of an enumeration or text."""
    return {str(getattr(axis, "value", axis)): value for axis, value in values.items()}
