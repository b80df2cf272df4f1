"""Planes that cannot be read, and what is written in their place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from typing import Literal

import numpy as np

from baikal_deploy.errors import VolumeError
from baikal_deploy.intensity import Raw
from baikal_deploy.regions import Part
from baikal_deploy.volumes.base import Region, Volume

READERS = 8
"""Threads that read a sample; they wait for disks more than they compute."""

OnError = Literal["stop", "keep-raw", "zero"]
"""What becomes of a plane, or a region of one, that cannot be read or denoised: an end of the run; what can
be read of it, with 0 in the chunks that cannot; or 0 everywhere."""


def read_parts(volume: Volume, planes: Sequence[int], part: Part) -> Raw:
    """Parts of planes, (N, height, width). Raises VolumeError: pixels that cannot be read."""
    if part.is_whole:
        return volume.read(planes)
    return np.stack([volume.read_window(plane, *part.extent) for plane in planes])


def read_what_can_be(volume: Volume, planes: Sequence[int], part: Part) -> tuple[Raw, list[int]]:
    """As ``read_parts``, with 0 in chunks that cannot be read, and the numbers of planes that have such."""
    found, damaged = [], []
    for plane in planes:
        try:
            found.append(read_parts(volume, [plane], part)[0])
        except VolumeError:
            found.append(_readable(volume, plane, part.extent))
            damaged.append(plane)
    return np.stack(found), damaged


def _readable(volume: Volume, plane: int, extent: Region) -> Raw:
    """A part of a plane, chunk by chunk."""
    edges = (volume.info.chunk or volume.info.plane_shape)[-2:]
    top, left = (span.start for span in extent)
    found = np.zeros([span.stop - span.start for span in extent], volume.info.dtype)
    for y, x in product(*map(_pieces, extent, edges)):
        with suppress(VolumeError):
            at = slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left)
            found[at] = volume.read_window(plane, y, x)
    return found


def _pieces(span: slice, edge: int) -> list[slice]:
    """What the chunks along one axis have of a span."""
    starts = range(span.start // edge * edge, span.stop, edge)
    return [slice(max(start, span.start), min(start + edge, span.stop)) for start in starts]


def read_windows(volume: Volume, windows: Sequence[tuple[int, slice, slice]], on_error: OnError) -> list[Raw]:
    """Windows (plane, y, x) of a volume, without those that cannot be read unless they end the run.

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
        raise results[-1]
    return found
