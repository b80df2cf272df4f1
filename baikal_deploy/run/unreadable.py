"""Planes that cannot be read, and what is written in their place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.errors import VolumeError
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.run.config import OnError
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.selection import SelectedVolume
from baikal_deploy.volumes.urls import Source

READERS = 8
"""Threads that read a sample; they wait for disks more than they compute."""


def read_crops(volume: Volume, planes: Sequence[int], crop: Crop) -> Raw:
    """Read the crops of planes.

    Args:
        volume: that the planes are of.
        planes: their numbers.
        crop: the same for all of them.

    Returns:
        (N, height, width).

    Raises:
        VolumeError: pixels that cannot be read.
    """
    if crop.is_uncut:
        return volume.read(planes)
    return np.stack([volume.read_window(plane, *crop.read) for plane in planes])


def read_what_can_be(volume: SelectedVolume, planes: Sequence[int], crop: Crop) -> tuple[Raw, list[int]]:
    """Read the crops of planes, with 0 in chunks that cannot be read.

    Args:
        volume: that the planes are of.
        planes: their numbers.
        crop: the same for all of them.

    Returns:
        (N, height, width), and the numbers of planes with such chunks.
    """
    found, damaged = [], []
    for plane in planes:
        try:
            found.append(read_crops(volume, [plane], crop)[0])
        except VolumeError:
            found.append(ReadableVolume(volume).read_window(plane, *crop.read))
            damaged.append(plane)
    return np.stack(found), damaged


@dataclass(frozen=True)
class ReadableVolume:
    """A volume that has 0 in the chunks that cannot be read."""

    volume: SelectedVolume

    @property
    def info(self) -> VolumeInfo:
        """Info of the volume."""
        return self.volume.info

    @property
    def metadata_files(self) -> Sequence[Source]:
        """Files that tell, by size and time, that the volume was written again."""
        return self.volume.metadata_files

    def read(self, planes: Sequence[int]) -> Raw:
        """Read planes, with 0 in chunks that cannot be read; raises nothing.

        Args:
            planes: their numbers.

        Returns:
            (N, H, W).
        """
        every = slice(None)
        return np.stack([self.read_window(plane, every, every) for plane in planes])

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        """Read a window of a plane, with 0 in chunks that cannot be read; raises nothing.

        Args:
            plane: its number.
            y: rows.
            x: columns.

        Returns:
            (height, width).
        """
        with suppress(VolumeError):
            return self.volume.read_window(plane, y, x)
        spans = zip((y, x), self.info.plane_shape, strict=True)
        rows, columns = (range(*span.indices(size)) for span, size in spans)
        found = np.zeros((len(rows), len(columns)), self.info.dtype)
        for v, u in self.volume.blocks(y, x):
            with suppress(VolumeError):
                at = (
                    slice(v.start - rows.start, v.stop - rows.start),
                    slice(u.start - columns.start, u.stop - columns.start),
                )
                found[at] = self.volume.read_window(plane, v, u)
        return found


def read_windows(volume: Volume, windows: Sequence[tuple[int, slice, slice]], on_error: OnError) -> list[Raw]:
    """Windows (plane, y, x) of a volume, without those that cannot be read unless they end the run.

    Args:
        volume: any.
        windows: plane, rows and columns of each.
        on_error: windows that cannot be read end the run ("stop"), or are left out.

    Raises:
        VolumeError: pixels that cannot be read; if they do not end the run, there are no others.
    """

    def read(window: tuple[int, slice, slice]) -> Raw | VolumeError:
        try:
            return volume.read_window(*window)
        except VolumeError as error:
            if on_error == "stop":
                raise
            return error

    with ThreadPoolExecutor(READERS, "measure") as readers:
        results = list(readers.map(read, windows))
    found = [result for result in results if not isinstance(result, VolumeError)]
    if not found and isinstance(results[-1], VolumeError):
        raise VolumeError(
            f"{volume.info.path}: of the {len(windows)} places to measure intensities at none can be read; "
            "copy the volume again"
        ) from results[-1]
    return found
