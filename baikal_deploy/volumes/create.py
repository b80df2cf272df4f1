"""Maker of what a run writes, whatever its format: the name of an output decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.volumes.formats import TIFF_SUFFIXES, is_tiff
from baikal_deploy.volumes.paths import is_zarr, provenance_of, translated
from baikal_deploy.volumes.places import LONGEST_INSIDE, check_length, check_writable
from baikal_deploy.volumes.storage import USUAL, Storage
from baikal_deploy.volumes.urls import Source, Url
from baikal_deploy.volumes.writer import Format, Writer


def format_of(path: Path, storage: Storage = USUAL) -> Format:
    """The format of an output of such a name.

    Args:
        path: the output.
        storage: how its pixels will be stored.
    """
    # A format's library is loaded only for those who write such a file.
    if is_tiff(path):
        from baikal_deploy.volumes.tiff.format import OmeTiff

        return OmeTiff(storage)
    from baikal_deploy.volumes.zarr.format import OmeZarr

    return OmeZarr(storage)


def check_upload(url: Url, *, free: bool) -> None:
    """Refuse a URL that no image can be written to.

    Args:
        url: of the output.
        free: whether nothing may be there.

    Raises:
        ConfigError: see ``uploading.check_url``.
        VolumeError: see ``uploading.check_free``.
    """
    from baikal_deploy.volumes.zarr.uploading import check_free, check_url

    check_url(url)
    if free:
        check_free(url)


def uploading(writer: Writer, url: Url) -> Writer:
    """The writer of an image that goes to a URL as it is written.

    Args:
        writer: of the image as it grows here.
        url: where it goes.
    """
    from baikal_deploy.volumes.zarr.uploading import Uploading

    return Uploading(writer, url)


def provenance_at(path: Source) -> dict[str, Any] | None:
    """Provenance in an image of this package; None where nothing is, or something else.

    Args:
        path: of anything.
    """
    if isinstance(path, Path) and path.is_file():
        from baikal_deploy.volumes.tiff.writer import provenance_of as provenance_of_tiff

        return provenance_of_tiff(path)
    return provenance_of(path)


def is_image_name(path: Path) -> bool:
    """True if a name is one of an image that can be written.

    Args:
        path: whatever is there.
    """
    return is_tiff(path) or path.suffix.lower() == ".zarr"


def check_output_place(path: Path, option: str = "") -> None:
    """Refuse a place where no image can be written, whatever is read.

    Args:
        path: the file or folder that is to be written.
        option: that it was given with, for messages; without one it is OUTPUT.

    Raises:
        ConfigError: a name that no format goes with, unless a Zarr store is there or around it.
        VolumeError: see ``check_writable`` and ``check_length``.
    """
    check_writable(path, option)
    check_length(path, LONGEST_INSIDE, option)
    with translated(path, "looked at"):
        if is_image_name(path) or is_zarr(path) or is_zarr(path.parent):
            return
    raise ConfigError(
        f"{path}: no image format that can be written has this ending; name it {path.stem}.ome.zarr (.zarr), "
        f"or {path.stem}.ome.tif ({', '.join(TIFF_SUFFIXES)})"
    )
