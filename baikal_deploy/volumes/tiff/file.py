"""TIFF files as tifffile sees them, with everything that is missing made an error.

Of a damaged file tifffile returns what is left, or zeros, and only logs a warning.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.extras import install
from baikal_deploy.volumes.places import check_not_empty
from baikal_deploy.volumes.series import LazyPixels
from baikal_deploy.volumes.tiff.claims import require_credible

WHOLE_PAGE = 2**24
"""Pixels up to which a page in strips is decoded whole: strips can be one row each."""
ZSTD = (50000, 34926)
"""Numbers that stand for zstd in a TIFF."""
UNNAMED = "iq"
"""Axes of pages of which a file says nothing."""


@contextmanager
def opened(
    path: Path, kinds: Collection[str] = (), *, ignore_imagej: bool = False
) -> Iterator[tifffile.TiffFile]:
    """TIFF file whose series are whole; closed at the end of the context.

    Args:
        path: the file.
        kinds: flavours, as tifffile calls them, that are accepted; none: any.
        ignore_imagej: count pages as they come, whatever ImageJ's notes say of them.

    Raises:
        VolumeError: not a TIFF, another flavour, a file that ends too early or that tifffile complains of.
    """
    with ExitStack() as stack:
        messages = stack.enter_context(_logged())
        file = _parsed(path, stack, ignore_imagej)
        if kinds:
            _require_kind(path, file, kinds)
        for series in file.series:
            if series.kind == "ome" or not messages:  # of a damaged file the others are what is left
                _require_whole(path, series, messages)
        if messages:
            raise VolumeError(
                f"{path}: is truncated or damaged{_first_lost(file)} ({messages[0]}); copy or export it again"
            )
        yield file


def _require_kind(path: Path, file: tifffile.TiffFile, kinds: Collection[str]) -> None:
    others = sorted({series.kind for series in file.series} - set(kinds))
    if "ndtiff" in others:
        raise VolumeError(f"{path}: is a part of an NDTiff data set; give the data set's folder")
    if others:
        raise VolumeError(
            f"{path}: TIFF files of the kind '{others[0]}' are not supported, as their pixel size and "
            f"channel names would be lost; convert it to OME-TIFF or OME-Zarr (bfconvert, bioformats2raw)"
        )


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Log messages of tifffile, which nobody else gets to see."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _parsed(path: Path, stack: ExitStack, ignore_imagej: bool) -> tifffile.TiffFile:
    check_not_empty(path)
    try:
        file = stack.enter_context(_file(path, ignore_imagej))
        require_credible(path, file)
        _ = [page for series in file.series for page in series.pages]  # now tifffile has seen all of it
    except (OSError, MemoryError, VolumeError):
        raise
    except Exception as error:  # of a damaged file, anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        lost = _first_lost(file) if "file" in locals() else ""
        raise VolumeError(
            f"{path}: cannot be read as a TIFF file{lost} ({reason}); copy or export it again"
        ) from error
    return file


def _file(path: Path, ignore_imagej: bool) -> tifffile.TiffFile:
    return tifffile.TiffFile(path, is_imagej=False) if ignore_imagej else tifffile.TiffFile(path)


def _first_lost(file: tifffile.TiffFile) -> str:
    """Words that say from which page on all are missing, for messages; none if nothing seems to be."""
    number = 0
    try:
        for page in file.pages:
            if not _lies_within(page):
                return f" from page {number} on"
            number += 1
    except Exception:  # where the list of pages breaks off
        return f" from page {number} on"
    return "" if number > 1 else f" from page {number} on"


def _lies_within(page: Any) -> bool:
    ends = (at + size for at, size in zip(page.dataoffsets, page.databytecounts, strict=True))
    return bool(max(ends, default=0) <= page.parent.filehandle.size)


def _require_whole(path: Path, series: Any, messages: Sequence[str]) -> None:
    """Refuse a series with a page that is missing or does not lie within its file."""
    if series.dataoffset is not None and not series.is_multifile:  # the first page may stand for all
        _require_run(path, series)
    for number, page in enumerate(series.pages):
        where = _position(series, number)
        if page is None or not page.dataoffsets or 0 in page.databytecounts:
            why = f" ({messages[0]})" if messages else ""
            raise VolumeError(f"{path}: {where} is missing{why}; copy or export the file again")
        if not _lies_within(page):
            whole = page.parent.filehandle.path
            raise VolumeError(f"{whole}: ends before {where} does; copy or export the file again")


def _require_run(path: Path, series: Any) -> None:
    """Refuse pixels without gaps that do not end within the file."""
    size = series.keyframe.parent.filehandle.size
    if series.dataoffset + series.nbytes > size:
        plane = max(0, size - series.dataoffset) // series.keyframe.nbytes
        raise VolumeError(
            f"{path}: ends before {_position(series, plane)} does; copy or export the file again"
        )


def _position(series: Any, number: int) -> str:
    """Page by its number and, where its axes have names, by these: "page 7 (t=1 z=2)"."""
    sizes = series.shape[: -series.keyframe.ndim]
    axes = series.axes[: len(sizes)].lower()
    if not sizes or number >= np.prod(sizes, dtype=int) or set(axes) & set(UNNAMED):
        return f"page {number}"
    position = zip(axes, np.unravel_index(number, sizes), strict=True)
    return f"page {number} ({' '.join(f'{axis}={index}' for axis, index in position)})"


def has_zstd() -> bool:
    """True if TIFF can be compressed by zstd here.

    tifffile lists a codec for it in any case. Without imagecodecs, or the module of Python 3.14, that codec
    raises ImportError when it is used.
    """
    try:
        tifffile.TIFF.COMPRESSORS[ZSTD[0]](b"")
    except (KeyError, ImportError):
        return False
    return True


def require_codec(path: Path, series: Any) -> None:
    """Refuse pixels that nothing here can decode.

    Args:
        path: the file, for messages.
        series: of tifffile.

    Raises:
        VolumeError: they are compressed in a way that needs another package, which it names.
    """
    page = series.keyframe
    known = page.compression in tifffile.TIFF.DECOMPRESSORS and page.predictor in tifffile.TIFF.UNPREDICTORS
    if page.compression > 1 and not (known and (page.compression not in ZSTD or has_zstd())):
        name = getattr(page.compression, "name", page.compression)
        raise VolumeError(
            f"{path}: is compressed with {name}, which needs the package imagecodecs: "
            f"{install('tiff-codecs')}"
        )


def open_pixels(path: Path, index: int, *, ignore_imagej: bool = False) -> LazyPixels:
    """Pixels of one series, by the axes that tifffile gives it. They keep the file open.

    Args:
        path: the file.
        index: number of the series.
        ignore_imagej: as for ``opened``.
    """
    file = _file(path, ignore_imagej)
    series = file.series[index]
    if series.dataoffset is not None and not series.is_multifile:
        file.close()
        dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
        mapped: LazyPixels = np.memmap(path, dtype, "r", series.dataoffset, series.shape)
        return mapped
    page = series.keyframe
    whole = not page.is_tiled and page.size <= WHOLE_PAGE
    array: Any = zarr.open(series.aszarr(level=0, chunkmode=2 if whole else 0), mode="r")
    weakref.finalize(array, file.close)
    return array  # type: ignore[no-any-return]


def decoded_together(pixels: object, coloured: bool = False) -> tuple[int, int] | None:
    """(height, width) of a strip, a tile, or a page that is decoded whole; None where nothing is encoded.

    Args:
        pixels: as ``open_pixels`` gives them.
        coloured: whether their last axis is that of the colours.
    """
    if not isinstance(pixels, zarr.Array):
        return None
    height, width = pixels.chunks[-3:-1] if coloured else pixels.chunks[-2:]
    return height, width


def series_files(series: Any) -> frozenset[Path]:
    """Files that hold a series of tifffile, links followed."""
    return frozenset(Path(page.parent.filehandle.path).resolve() for page in series.pages if page is not None)


def series_names(file: tifffile.TiffFile) -> list[str]:
    """Descriptions of the series of a file, for messages."""
    return [f"{one.name or 'unnamed'} {one.axes} {'x'.join(map(str, one.shape))}" for one in file.series]
