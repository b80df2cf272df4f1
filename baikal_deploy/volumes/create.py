"""Maker of what a run writes, whatever its format: the name of an output decides."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from baikal_deploy.errors import ConfigError
from baikal_deploy.volumes.base import VolumeInfo, Writer
from baikal_deploy.volumes.formats import TIFF_SUFFIXES, is_tiff
from baikal_deploy.volumes.layout import Layout
from baikal_deploy.volumes.paths import is_zarr, provenance_of, translated
from baikal_deploy.volumes.places import check_writable


class Format(Protocol):
    """Facts on an output before anything of it is there. Each class of writers is a format.

    Attributes:
        NAME: of the format, for messages.
        GROWS: whether the first axis may become longer while it is written.
        SHARED: whether several processes may write one image.
        NESTS: whether images may lie in a store of several, such as a plate.
        KEPT: in what form ``size`` counts the pixels, for people.
    """

    NAME: str
    GROWS: bool
    SHARED: bool
    NESTS: bool
    KEPT: str

    def size(self, info: VolumeInfo) -> int:
        """Bytes of an image, before they are compressed.

        Args:
            info: the image.
        """

    def check_expressible(self, path: Path, info: VolumeInfo) -> None:
        """Refuse an image that the format cannot hold.

        Args:
            path: the output, for messages.
            info: the image.

        Raises:
            VolumeError: what it has no place for; metadata that is not valid.
        """

    def check_begin(self, path: Path, overwrite: bool, leftovers: Collection[Path]) -> None:
        """Refuse an output that cannot be begun where it is to be, once the leftovers are removed.

        Args:
            path: the output.
            overwrite: an image that is there already may be replaced.
            leftovers: what an earlier run has left, which will be removed.

        Raises:
            VolumeError: something is there that must not be overwritten, or is no output.
        """

    def begin(self, path: Path, overwrite: bool) -> Path:
        """Clear the place where an output grows of what an earlier failed run left there, and return it.

        Args:
            path: the output.
            overwrite: an image that is there already may be replaced.

        Raises:
            VolumeError: see ``check_begin``.
        """

    def create(
        self,
        path: Path,
        info: VolumeInfo,
        *,
        overwrite: bool = False,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> Writer:
        """Begin an image; all of it is 0.

        Args:
            path: where the image will be.
            info: what to write; ``info.dtype`` is the output's pixel type.
            overwrite: replace an existing image. It stays whole until ``finish``: until then the new one is
                NAME.partial beside it.
            layout: of the items; None: the default one.
            run: id of the run that writes it, which the image holds until it is complete; None: none.

        Raises:
            VolumeError: the path is taken, or cannot be written; or see ``check_expressible``.
        """

    def resume(self, path: Path, info: VolumeInfo, location: Path, *, layout: Layout | None = None) -> Writer:
        """Continue an image that ``create`` began.

        Args:
            path: where the image will be.
            info: what to write, as ``create`` had it, or with more steps of the first axis if it grows.
            location: where it is: where ``create`` put it, or at ``path`` if it has moved there since.
            layout: of the items; as ``create`` had it.

        Raises:
            VolumeError: it is not there, or is another image.
        """


def format_of(path: Path) -> Format:
    """The format of an output of such a name.

    Args:
        path: the output.
    """
    # A format's library is loaded only for those who write such a file.
    if is_tiff(path):
        from baikal_deploy.volumes.tiff.writer import TiffOutput

        return TiffOutput
    from baikal_deploy.volumes.zarr.writer import OutputVolume

    return OutputVolume


def provenance_at(path: Path) -> dict[str, Any] | None:
    """Provenance in an image of this package; None where nothing is, or something else.

    Args:
        path: of anything.
    """
    if path.is_file():
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
        VolumeError: see ``check_writable``.
    """
    check_writable(path, option)
    with translated(path, "looked at"):
        if is_image_name(path) or is_zarr(path) or is_zarr(path.parent):
            return
    raise ConfigError(
        f"{path}: its ending is that of no format that can be written; name it {path.stem}.ome.zarr (.zarr), "
        f"or {path.stem}.ome.tif ({', '.join(TIFF_SUFFIXES)})"
    )
