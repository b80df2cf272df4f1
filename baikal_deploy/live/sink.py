"""A denoised stream on disk: an OME-Zarr that is written frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.live.shown import Sample
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.shown import displayed
from baikal_deploy.volumes.writer import Writer
from baikal_deploy.volumes.zarr.format import OmeZarr

PLACEHOLDER = (1, 1)
"""Shape of planes until the first has come."""


@dataclass
class FrameSink:
    """An image whose planes come one by one, in any order, and some perhaps never: those are 0.

    It is made when the first frame is there, which tells its size and pixel type.

    Attributes:
        path: of the image.
        info: its axes, shape and so on; plane shape and pixel type once the first frame
            is there.
        written: numbers of the planes that are there.
    """

    path: Path
    info: VolumeInfo
    written: set[int] = field(default_factory=set)
    _output: Writer | None = None
    _samples: dict[int, Sample] = field(default_factory=dict)

    def write(self, position: Mapping[str, int], frame: Raw) -> None:
        """Write a plane (H, W) with its pyramid.

        Raises:
            VolumeError: a position that the image does not have, or where a frame is already, a frame of
                another shape or type than the first, or a full disk and the like.
        """
        output = self._opened(frame)
        if (frame.shape, frame.dtype) != (output.info.plane_shape, output.info.dtype):
            raise VolumeError(
                f"{output.path}: a frame of {frame.dtype} {frame.shape} does not fit the first one's "
                f"{output.info.dtype} {output.info.plane_shape}; it is not written"
            )
        plane = self._plane(position)
        if plane in self.written:
            raise VolumeError(
                f"{output.path}: has a frame at {dict(position)} already; this one is not written"
            )
        output.write(output.items[plane], frame[None])
        self.written.add(plane)
        self._samples.setdefault(position.get("c", 0), Sample()).add(frame)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Mark the image complete, with display ranges of what came.

        Raises:
            VolumeError: a full disk and the like.
        """
        if self._output is not None:
            channels = map(self._samples.get, range(self.info.num_channels))
            ranges = [None if one is None else one.range() for one in channels]
            shown = replace(self.info, omero=displayed(self.info, ranges))
            self._output.grown(shown).finish(provenance)

    def _plane(self, position: Mapping[str, int]) -> int:
        """Number of the plane at a position; axes that the image or the position does not have count as 0."""
        sizes = {axis.name: size for axis, size in zip(self.info.axes[:-2], self.info.shape, strict=False)}
        if any(not 0 <= at < sizes.get(name, 1) for name, at in position.items()):
            raise VolumeError(
                f"{self.path}: has no place for a frame at {dict(position)}, only for {sizes}; "
                "it is not written"
            )
        plane = 0
        for name, size in sizes.items():
            plane = plane * size + position.get(name, 0)
        return plane

    def _opened(self, frame: Raw) -> Writer:
        if self._output is None:
            shape = (*self.info.shape[:-2], *frame.shape)
            self.info = replace(self.info, shape=shape, dtype=frame.dtype)
            self._output = OmeZarr().create(self.path, self.info, layout=Layout(1))  # a plane each
        return self._output


def stream_info(
    path: Path, sizes: Mapping[str, int], scale: Mapping[str, float], channels: list[str]
) -> VolumeInfo:
    """The info of a stream as it is known before its first frame.

    Args:
        path: of the image that is to be written.
        sizes: of the axes t, c and z that it has.
        scale: of those axes and of y and x where it is known: seconds, and micrometres.
        channels: their names.
    """
    names = [*(name for name in ("t", "c", "z") if name in sizes), "y", "x"]
    units = {"t": "second", "c": None}
    axes = tuple(Axis(name, units.get(name, "micrometer") if name in scale else None) for name in names)
    return VolumeInfo(
        path,
        axes,
        (*(sizes[name] for name in names[:-2]), *PLACEHOLDER),
        np.dtype(np.uint16),
        tuple(scale.get(name, 1.0) for name in names),
        (0.0,) * len(names),
        omero={"channels": [{"label": name} for name in channels]} if "c" in sizes else None,
    )
