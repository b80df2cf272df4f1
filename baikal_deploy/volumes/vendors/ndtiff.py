"""Reads NDTiff data sets, the folders that Micro-Manager and Pycro-Manager write, plane by plane."""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.extras import install
from baikal_deploy.volumes.calibration import Calibration
from baikal_deploy.volumes.formats import LARGEST_INDEX, NDTIFF_INDEX
from baikal_deploy.volumes.names import require_beside
from baikal_deploy.volumes.series import Index, SeriesVolume, choose, describe_file, opening
from baikal_deploy.volumes.vendors.steps import Steps

INDEX = "NDTiff.index"
AXES = {"time": "t", "channel": "c", "z": "z"}
"""Our names of NDTiff's axes, in our order; along any other, images are series."""

Position = Mapping[str, Any]
"""Steps of an image along its axes, by NDTiff's names of the axes."""


def open_ndtiff(path: Path, series: int | None = None, index: bytes | None = None) -> SeriesVolume:
    """Open one series of an NDTiff data set: a position of the stage, or a tile of a mosaic.

    Args:
        path: the folder.
        series: number of the series; None: the only one.
        index: bytes to take for the contents of its index; None: the file.

    Returns:
        The series as a volume, whose pixels are read when they are asked for.

    Raises:
        VolumeError: a data set that is damaged, truncated or not supported; several series and no choice; a
            package that is missing.
    """
    with ExitStack() as stack:
        with opening(path, "an NDTiff data set"):
            data, positions = _opened(path, index)
        stack.callback(data.close)
        volume = _open_series(path, data, positions, series)
        stack.pop_all()
    weakref.finalize(volume.pixels, data.close)
    return volume


def _open_series(path: Path, data: Any, positions: list[Position], series: int | None) -> SeriesVolume:
    if not positions:
        raise VolumeError(f"{path}: holds no image; copy or export it again")
    listed = list_series(positions)
    number = choose(path, [spell_series(key, listed) for key in listed], series)
    own = [position for position in positions if series_of(position) == listed[number]]
    steps = {axis: sorted({position[axis] for position in own}) for axis in AXES if axis in own[0]}
    _require_complete(path, steps, own)
    grid = {axis: Steps.of(path, axis, along) for axis, along in steps.items()}
    name = spell_series(listed[number], listed) if len(listed) > 1 else None
    with opening(path, "an NDTiff data set"):
        last = data.read_image(**own[-1])  # written last: a data set that is cut off lacks it
        calibration = _calibration(data, own, grid, name)
    if last.ndim != 2:
        raise VolumeError(f"{path}: holds colour images; convert it to grey, or split it")
    sizes = {AXES[axis]: len(along.all) for axis, along in grid.items()}
    sizes |= {"y": last.shape[0], "x": last.shape[1]}
    info = describe_file(path, sizes, last.dtype, calibration)
    files = frozenset(file.resolve() for file in path.rglob("*") if file.suffix in (".tif", ".index"))
    pixels = NDTiffPixels(path, data, dict(listed[number].fixed), grid)
    return SeriesVolume(info, pixels, "".join(sizes), files)


@dataclass(frozen=True)
class NDTiffPixels:
    """Pixels of a series, which are read when they are indexed.

    Attributes:
        path: the data set, for messages.
        data: the data set of ndstorage.
        fixed: the series, by the axes that are not ours.
        steps: the steps along each of the leading axes, as NDTiff calls them.
    """

    path: Path
    data: Any
    fixed: Position
    steps: Mapping[str, Steps]

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        *leading, y, x = index
        steps = zip(self.steps.items(), leading, strict=True)
        position = {axis: along.all[number] for (axis, along), number in steps}
        for axis, step in position.items():
            if step in self.steps[axis].missing:
                raise VolumeError(
                    f"{self.path}: has no image at {axis}={step}, which was not recorded; leave that out "
                    f"(--t, --z), or write zeros there (--on-error zero)"
                )
        return np.asarray(self.data.read_image(**self.fixed, **position)[y, x])


def _opened(path: Path, index: bytes | None) -> tuple[Any, list[Position]]:
    try:
        from ndstorage import Dataset
        from ndstorage.file_io import NDTiffFileIO
    except ImportError as error:
        raise VolumeError(
            f"{path}: NDTiff data sets need the package ndstorage: {install('ndtiff')}"
        ) from error
    _require_own_files(path, index)
    _require_filled(path)
    with redirect_stdout(io.StringIO()):  # it prints how far it is
        data = Dataset(str(path), **({} if index is None else {"file_io": _with_index(NDTiffFileIO, index)}))
    listed = (
        getattr(data, "get_image_coordinates_list", None) or data.get_index_keys
    )  # version 2 has no other
    return data, [dict(position) for position in listed()]


def _require_own_files(path: Path, index: bytes | None) -> None:
    """Refuse an index that names anything but files beside it."""
    from ndstorage.ndtiff_index import read_ndtiff_index

    file = next(path / name for name in NDTIFF_INDEX if (path / name).is_file())
    entries = read_ndtiff_index(read_index(file) if index is None else index, verbose=False)
    for name in {entry["filename"] for entry in entries.values()}:
        require_beside(file.parent, name)


def _require_filled(path: Path) -> None:
    """Refuse files without contents, which ndstorage cannot open, beside those with images."""
    for file in sorted(path.glob("*.tif")):
        if not file.stat().st_size:
            raise VolumeError(
                f"{file}: is empty, as a recording leaves it that failed; move it away to read the others"
            )


def read_index(file: Path) -> bytes:
    """Contents of an index.

    Args:
        file: the index.

    Raises:
        VolumeError: it is larger than any index of images.
    """
    if file.stat().st_size > LARGEST_INDEX:
        raise VolumeError(f"{file}: is larger than any index of images; copy or export the data set again")
    return file.read_bytes()


def _with_index(make: Callable[..., Any], index: bytes) -> Any:
    """Access to a data set, as ndstorage takes it, with another index and the files that are named there."""

    def open_file(path: str, mode: str) -> Any:
        return io.BytesIO(index) if Path(path).name == INDEX else open(path, mode)

    def names(path: str) -> list[str]:
        return [name for name in os.listdir(path) if name == INDEX or name.encode() in index]

    return make(open_function=open_file, listdir_function=names)


@dataclass(frozen=True, order=True)
class SeriesKey:
    """Series of an image. Images that lack an axis which others have, such as z, are a series of their own.

    Attributes:
        fixed: steps along all axes that are not ours, in the order of the axes' names.
        axes: NDTiff's names of ours that the image has.
    """

    fixed: tuple[tuple[str, Any], ...]
    axes: tuple[str, ...]


def series_of(position: Position) -> SeriesKey:
    """Series of an image.

    Args:
        position: of the image.
    """
    others = tuple(sorted((axis, step) for axis, step in position.items() if axis not in AXES))
    return SeriesKey(others, tuple(axis for axis in AXES if axis in position))


def list_series(positions: Iterable[Position]) -> list[SeriesKey]:
    """All series of some images, in order.

    Args:
        positions: of the images.
    """
    return sorted({series_of(position) for position in positions})


def spell_series(series: SeriesKey, listed: Sequence[SeriesKey]) -> str:
    """Series in words, such as "position=1", for messages.

    Args:
        series: one of them.
        listed: all series of the data set; their axes are told where they differ.
    """
    words = [f"{axis}={step}" for axis, step in series.fixed]
    everywhere = set(AXES).intersection(*(key.axes for key in listed))
    for axis in AXES:
        if axis not in everywhere and any(axis in key.axes for key in listed):
            words.append(f"{'with' if axis in series.axes else 'without'} {axis}")
    return " ".join(words)


def _require_complete(path: Path, steps: Mapping[str, Sequence[Any]], own: list[Position]) -> None:
    """Refuse a series whose images do not fill all of its axes."""
    there = {tuple(position.get(axis) for axis in steps) for position in own}
    for number in np.ndindex(*map(len, steps.values())):
        wanted = tuple(along[i] for along, i in zip(steps.values(), number, strict=True))
        if wanted not in there:
            where = " ".join(f"{axis}={step}" for axis, step in zip(steps, wanted, strict=True))
            raise VolumeError(
                f"{path}: has no image at {where}, as of an acquisition that was stopped; "
                f"export the part that is complete"
            )


def _calibration(data: Any, own: list[Position], steps: Mapping[str, Steps], name: str | None) -> Calibration:
    summary, first = data.summary_metadata, data.read_metadata(**own[0])
    pixel = first.get("PixelSizeUm") or summary.get("PixelSize_um")
    sizes: dict[str, tuple[object, object]] = dict.fromkeys("yx", (pixel, "micrometer"))
    for axis, key, factor, unit in (
        ("z", "z-step_um", 1, "micrometer"), ("time", "Interval_ms", 0.001, "second"),
    ):  # fmt: skip
        size = summary.get(key)
        if axis in steps and isinstance(size, int | float):
            sizes[AXES[axis]] = abs(size) * factor * steps[axis].stride, unit
    channels = [{"label": label} if label else {} for label in _channels(data, own, steps)]
    remarks = tuple(filter(None, (along.remark(axis) for axis, along in steps.items())))
    return replace(Calibration.of(sizes, name, channels), remarks=remarks)


def _channels(data: Any, own: list[Position], steps: Mapping[str, Steps]) -> list[str]:
    """Names of the channels: NDTiff's of the steps, or else those in the first image of each."""
    if "channel" not in steps:
        return [str(data.read_metadata(**own[0]).get("Channel", ""))]
    return [
        channel if isinstance(channel, str) else str(_first(data, own, channel).get("Channel", ""))
        for channel in steps["channel"].all
    ]


def _first(data: Any, own: list[Position], channel: object) -> Mapping[str, Any]:
    found: Mapping[str, Any] = data.read_metadata(**next(p for p in own if p["channel"] == channel))
    return found
