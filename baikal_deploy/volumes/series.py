"""Series: the images of a file that may hold several; their pixels are read when they are indexed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import AXIS_NAMES, Axis, VolumeInfo
from baikal_deploy.volumes.calibration import Calibration

MAX_LISTED = 20

Index = tuple[int | slice, ...]


class LazyPixels(Protocol):
    """An array whose pixels are read when it is indexed."""

    def __getitem__(self, index: Index, /) -> NDArray[Any]: ...


def choose(path: Path, names: Sequence[str], series: int | None) -> int:
    """Number of the chosen series of a file, or of the only one.

    Args:
        path: the file, for messages.
        names: description of each series, for messages.
        series: the choice; None: the only one.

    Raises:
        VolumeError: there is no such series, or several and no choice.
    """
    count = len(names)
    if series is None and count == 1:
        return 0
    if series is not None and 0 <= series < count:
        return series
    listed = [f"{number}: {name}" for number, name in enumerate(names[:MAX_LISTED])]
    more = [f"and {count - MAX_LISTED} more"] if count > MAX_LISTED else []
    held = f"{count} series ({', '.join(listed + more)})" if count > 1 else "one series, number 0"
    wanted = "choose one with" if series is None else f"there is no series {series}; choose another"
    raise VolumeError(f"{path}: holds {held}; {wanted} --series N")


def describe_file(
    path: Path,
    sizes: Mapping[str, int],
    dtype: DTypeLike,
    calibration: Calibration,
    decoded: tuple[int, int] | None = None,
) -> VolumeInfo:
    """Info of an image in a file. Axes of size 1 are dropped, unless their pixel size is known.

    Args:
        path: the file.
        sizes: by our names of its axes, in any order.
        dtype: of its pixels, in any byte order.
        calibration: pixel sizes, units, name and channels.
        decoded: (height, width) of what is decoded together; None where pixels are read as they are.

    Raises:
        VolumeError: axes, shape, pixel type or scale which this package cannot work on.
    """
    known = [*calibration.scale, "y", "x"]
    kept = [axis for axis in AXIS_NAMES if sizes.get(axis, 1) > 1 or axis in known]
    return VolumeInfo(
        path,
        tuple(Axis(axis, calibration.units.get(axis)) for axis in kept),
        tuple(sizes.get(axis, 1) for axis in kept),
        np.dtype(np.dtype(dtype).newbyteorder("=").str),  # NumPy has two types for int64, and zarr knows one
        tuple(calibration.scale.get(axis, 1.0) for axis in kept),
        (0.0,) * len(kept),
        calibration.name,
        calibration.omero,
        None if decoded is None else (*(1 for _ in kept[:-2]), *decoded),
        remarks=calibration.remarks,
    )


@contextmanager
def opening(path: Path, kind: str) -> Iterator[None]:
    """Turn what goes wrong in another library's reader, within the context, into one message.

    Args:
        path: the file, for messages.
        kind: what it is taken for, with its article.

    Raises:
        VolumeError: the file cannot be read, and why: whatever the reader raised but MemoryError.
    """
    try:
        yield
    except (MemoryError, VolumeError):
        raise
    except OSError as error:
        raise VolumeError(
            f"{path}: cannot be read: {error.strerror or error}; check the path and its permissions, and "
            f"whether it was copied whole"
        ) from error
    except Exception as error:  # of a damaged file, anything
        reason = " ".join(f"{type(error).__name__}: {error}".replace(f"'{path}'", "it").split())[:200]
        raise VolumeError(
            f"{path}: cannot be read as {kind} ({reason}); it may be truncated or damaged: copy or export it "
            f"again"
        ) from error


@dataclass(frozen=True)
class SeriesVolume:
    """Volume that is one series of a file.

    Attributes:
        pixels: indexed by one integer or slice per axis of the file.
        axes: our names of these axes, in the file's order, y and x last.
        files: the files it lies in, links followed.
    """

    info: VolumeInfo
    pixels: LazyPixels
    axes: str
    files: frozenset[Path]

    @property
    def metadata_files(self) -> list[Path]:
        """Files that tell, by size and time, that the volume was written again."""
        return sorted(self.files)

    def read(self, planes: Sequence[int]) -> Raw:
        """Planes as (N, H, W), in ``info.dtype``; see ``Volume.read``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """
        out = np.empty((len(planes), *self.info.plane_shape), self.info.dtype)
        for number, plane in enumerate(planes):
            out[number] = self.read_window(plane, slice(None), slice(None))
        return out

    def read_window(self, plane: int, y: slice, x: slice) -> Raw:
        """Window (h, w) of one plane, in ``info.dtype``; see ``Volume.read_window``.

        Raises:
            VolumeError: a plane that does not exist or cannot be decoded.
        """
        names = (axis.name for axis in self.info.axes)
        position = dict(zip(names, self.info.position(plane), strict=False))
        index: Index = (*(position.get(axis, 0) for axis in self.axes[:-2]), y, x)
        try:
            window = np.asarray(self.pixels[index])
        except (MemoryError, VolumeError):
            raise
        except Exception as error:  # every codec raises exceptions of its own
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise VolumeError(
                f"{self.info.path}: {self.info.describe(plane)} cannot be read ({reason}); "
                f"the file is damaged: copy or export it again, "
                f"or let baikal-run continue without it (--on-error keep-raw)"
            ) from error
        return window.astype(self.info.dtype, copy=False)
