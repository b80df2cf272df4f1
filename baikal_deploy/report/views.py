"""Pictures of a report: the whole volume along z, and parts of a few planes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from baikal_deploy.pixels.figures import figures
from baikal_deploy.report.grey import address, brightest, contrast, diverging, grey
from baikal_deploy.report.projection import Projection, depth_of, project, stack, step_of, thinned
from baikal_deploy.volumes.base import Volume, VolumeInfo

SIDE = 512
"""Side, in pixels, of the part of a plane that is shown. A reduced plane would look less noisy than it is."""
MOST_VIEWS = 6
"""Most planes that are shown of all channels together."""
MOST_STEPS = 256
"""Most steps of an axis that a kymograph shows."""
LEAST_HEIGHT = 96
"""Least height of a kymograph, in pixels."""
WORST = 5


@dataclass(frozen=True)
class View:
    """A picture before and after.

    Attributes:
    title: what is shown.
    part: which part of it.
    width: in pixels.
    before, after: addresses of the pictures.
    """

    title: str
    part: str
    width: int
    before: str
    after: str


@dataclass(frozen=True)
class Whole:
    """A channel's first timepoint along z.

    Attributes:
        view: the projections.
        change, limit: picture of the mean difference; what its strongest colours stand for.
    """

    view: View
    change: str
    limit: str


@dataclass(frozen=True)
class Suspects:
    """A picture of the places where the result contradicts the data, at a channel's first timepoint.

    Attributes:
        picture: white where it does in any plane.
        worst: planes, and the shares of their pixels that are suspect.
    """

    picture: str
    worst: list[tuple[str, float]]


def whole(before: Volume, after: Volume, channel: int) -> Whole:
    """A channel's first timepoint along z, before and after.

    Raises:
        VolumeError: pixels that cannot be read.
    """
    info, found = before.info, project(before, after, channel)
    shown = contrast(found.after, found.before)
    pictures = [address(grey(plane, shown)) for plane in (found.before, found.after)]
    view = View(_kind(found), _part(found, info), found.after.shape[1], pictures[0], pictures[1])
    return Whole(view, address(diverging(found.difference, found.limit)), figures(found.limit, 3))


def _kind(found: Projection) -> str:
    return "The plane" if found.depth == 1 else "The volume, along z"


def _part(found: Projection, info: VolumeInfo) -> str:
    first = "first timepoint" if info.num_planes > info.num_channels * found.depth else ""
    some = "" if found.planes == found.depth else f"{found.planes} of {found.depth} planes"
    thin = "" if found.step == 1 else f"1 pixel in {found.step}"
    return ", ".join(text for text in (first, some, thin) if text)


def planes(before: Volume, after: Volume, channel: int) -> Iterator[View]:
    """Parts of planes evenly spaced in a channel, the brightest of their size: there is something in them.

    Raises:
        VolumeError: pixels that cannot be read.
    """
    info = before.info
    step = step_of(info.plane_shape)
    for plane in _chosen(info, channel):
        y, x = (step * corner for corner in brightest(thinned(after, plane, step), SIDE // step))
        height, width = info.plane_shape
        rows, columns = slice(y, min(y + SIDE, height)), slice(x, min(x + SIDE, width))
        parts = [volume.read_window(plane, rows, columns) for volume in (before, after)]
        shown = contrast(parts[1], parts[0])
        h, w = parts[0].shape
        part = "" if (h, w) == (height, width) else f"{h} × {w} pixels at ({y}, {x}) of {height} × {width}"
        pictures = [address(grey(one, shown)) for one in parts]
        yield View(info.describe(plane), part, w, pictures[0], pictures[1])


def kymograph(before: Volume, after: Volume, channel: int, axis: str) -> View:
    """One row of a channel's planes along an axis, below each other: what flickers, and what stays.

    Args:
        before, after: of one shape.
        channel: its index.
        axis: t or z; the first plane along the other one is taken.

    Raises:
        VolumeError: pixels that cannot be read.
    """
    info, step = before.info, step_of(before.info.plane_shape)
    numbers = _along(info, channel, axis)[:MOST_STEPS]
    height, width = info.plane_shape
    y, x = (step * corner for corner in brightest(thinned(after, numbers[0], step), SIDE // step))
    row = min(y + SIDE // 2, (y + height) // 2)
    rows, columns = slice(row, row + 1), slice(x, min(x + SIDE, width))
    parts = [
        np.concatenate([volume.read_window(number, rows, columns) for number in numbers])
        for volume in (before, after)
    ]
    shown, thick = contrast(parts[1], parts[0]), -(-LEAST_HEIGHT // len(numbers))
    pictures = [address(grey(part.repeat(thick, axis=0), shown)) for part in parts]
    total = len(_along(info, channel, axis))
    some = "" if len(numbers) == total else f"the first {len(numbers)} of {total}"
    return View(f"Row {row} along {axis}", some, parts[0].shape[1], pictures[0], pictures[1])


def _along(info: VolumeInfo, channel: int, axis: str) -> range:
    """Planes of a channel along an axis, the first along all others."""
    names = [one.name for one in info.axes[:-2]]
    along = names.index(axis)
    step = math.prod(info.shape[along + 1 : -2])
    first = channel * math.prod(info.shape[names.index("c") + 1 : -2]) if "c" in names else 0
    return range(first, first + step * info.shape[along], step)


def _chosen(info: VolumeInfo, channel: int) -> list[int]:
    """Planes of a channel, over all timepoints."""
    depth = depth_of(info)
    total = info.num_planes // info.num_channels
    count = min(total, max(1, MOST_VIEWS // info.num_channels))
    places = [divmod((2 * i + 1) * total // (2 * count), depth) for i in range(count)]
    return [(t * info.num_channels + channel) * depth + z for t, z in places]


def suspects(mask: Volume, channel: int) -> Suspects:
    """A picture of the suspect pixels of a channel, and its worst planes.

    Raises:
        VolumeError: pixels that cannot be read.
    """
    info, step = mask.info, step_of(mask.info.plane_shape)
    shares, anywhere = {}, np.zeros((1, 1), np.uint8)
    for plane in stack(info, channel):
        found = thinned(mask, plane, step)
        shares[info.describe(plane)] = float(found.mean())
        anywhere = np.maximum(anywhere, found)
    worst = sorted(((name, share) for name, share in shares.items() if share), key=lambda one: -one[1])
    return Suspects(address(grey(anywhere, (0, 1))), worst[:WORST])
