"""TIFF as a format that is written: one file, laid out before any plane is there, packed at the end."""

from __future__ import annotations

import json
from collections.abc import Collection
from math import prod
from pathlib import Path
from uuid import uuid4

import tifffile

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.host.durable import sync_file
from baikal_deploy.host.extras import install
from baikal_deploy.host.moves import move
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.layout import Layout, default_layout, plan_items
from baikal_deploy.volumes.paths import (
    check_file,
    continuing,
    partial_path,
    require_free,
    unfinished_by,
    writing,
)
from baikal_deploy.volumes.storage import USUAL, Codec, Storage
from baikal_deploy.volumes.tiff.file import has_zstd
from baikal_deploy.volumes.tiff.flavours import ImageJ, flavour_of
from baikal_deploy.volumes.tiff.packing import Packing
from baikal_deploy.volumes.tiff.writer import TiffOutput, is_complete

USUAL_CODEC = "none"


class OmeTiff:
    """The format of images in TIFF: a ``Format``, whose methods are described there.

    It is OME-TIFF, or a hyperstack of ImageJ where the input is one and the name does not say otherwise.
    """

    NAME = "TIFF"
    GROWS = False
    SHARED = False
    NESTS = False

    def __init__(self, storage: Storage = USUAL) -> None:
        self.codec = storage.packing(USUAL_CODEC)
        self.KEPT = "uncompressed" if self.codec.name == "none" else "before compression"

    def size(self, info: VolumeInfo) -> int:
        """Bytes of an image, before it is compressed."""
        return prod(info.shape) * info.dtype.itemsize

    def check_expressible(self, path: Path, info: VolumeInfo) -> None:
        """Refuse a pixel type, unit or name that TIFF does not have, and a codec that cannot be had.

        See ``Format.check_expressible``.
        """
        _check_codec(path, self.codec)
        flavour_of(path, info, self.codec).check(path, info)

    def named(self, path: Path, info: VolumeInfo) -> Path:
        """Path with .tif for .ome.tif where that makes it a hyperstack of ImageJ; see ``Format.named``."""
        plain = path.with_name(f"{path.name.removesuffix('.ome.tif')}.tif")
        return plain if isinstance(flavour_of(plain, info, self.codec), ImageJ) else path

    def check_begin(self, path: Path, overwrite: bool, leftovers: Collection[Path]) -> None:
        """Refuse a file that must not be overwritten; see ``Format.check_begin``."""
        check_file(path, overwrite)
        partial = partial_path(path.resolve())
        if partial not in leftovers:
            require_free(partial)

    def begin(self, path: Path, overwrite: bool) -> Path:
        """Path at which a file grows; see ``Format.begin``."""
        self.check_begin(path.resolve(), overwrite, ())
        return partial_path(path.resolve())

    def create(
        self,
        path: Path,
        info: VolumeInfo,
        *,
        overwrite: bool = False,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> TiffOutput:
        """Write the metadata, and leave room for the planes; see ``Format.create``."""
        self.check_expressible(path, info)
        location = self.begin(path, overwrite)
        flavour = flavour_of(path, info, self.codec)
        begun = location.with_name(f"{location.name}.{run or uuid4().hex}")  # half of it is not an image
        with writing(path, "the metadata"):
            options = flavour.options(path, info, json.dumps(unfinished_by(run)))
            tifffile.imwrite(begun, shape=flavour.shape(info), dtype=info.dtype, **options)
            sync_file(begun, begun.parent)
            move(begun, location)
        return self.resume(path, info, location, layout=layout, run=run)

    def resume(
        self,
        path: Path,
        info: VolumeInfo,
        location: Path,
        *,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> TiffOutput:
        """Continue a file that ``create`` began; see ``Format.resume``."""
        packing = Packing(self.codec, run or uuid4().hex)
        with continuing(path), tifffile.TiffFile(location) as file:
            series, plane = file.series[0], file.pages.first
            found = (series.size, plane.shape, series.dtype)
            if found != (prod(info.shape), info.plane_shape, info.dtype):
                raise ValueError("its pixels have another shape or type")
            offset = series.dataoffset
            if offset is None and not is_complete(location):
                raise ValueError("its pixels have no places")
        items = plan_items(info, layout or default_layout(info))
        flavour = flavour_of(path, info, self.codec)
        return TiffOutput(path, info, items, location, offset, flavour, packing)


def _check_codec(path: Path, codec: Codec) -> None:
    if codec.name not in ("none", "zlib", "zstd"):
        raise ConfigError(f"{path}: a TIFF has no codec {codec.name}; choose --codec zlib, zstd or none")
    if codec.name == "zstd" and not has_zstd():
        raise VolumeError(
            f"{path}: --codec {codec.name} needs the package imagecodecs in a TIFF: {install('tiff-codecs')}"
        )
