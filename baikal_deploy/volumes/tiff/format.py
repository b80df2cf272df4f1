"""OME-TIFF as a format that is written: one file, uncompressed, laid out before any plane is there."""

from __future__ import annotations

import json
from collections.abc import Collection
from math import prod
from pathlib import Path
from uuid import uuid4

import tifffile

from baikal_deploy.host.durable import sync_file
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
from baikal_deploy.volumes.tiff.ome import check_expressible, ome_metadata
from baikal_deploy.volumes.tiff.writer import TiffOutput


class OmeTiff:
    """The format of images in OME-TIFF: a ``Format``, whose methods are described there."""

    NAME = "TIFF"
    GROWS = False
    SHARED = False
    NESTS = False
    KEPT = "uncompressed"

    def size(self, info: VolumeInfo) -> int:
        """Bytes of an image, which is not compressed."""
        return prod(info.shape) * info.dtype.itemsize

    def check_expressible(self, path: Path, info: VolumeInfo) -> None:
        """Refuse a pixel type, translation, unit or name that OME-TIFF does not have.

        See ``Format.check_expressible``.
        """
        check_expressible(path, info)

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
        check_expressible(path, info)
        location = self.begin(path, overwrite)
        metadata = {**ome_metadata(path, info), "Description": json.dumps(unfinished_by(run))}
        begun = location.with_name(f"{location.name}.{run or uuid4().hex}")  # half of it is not an image
        with writing(path, "the metadata"):
            tifffile.imwrite(
                begun,
                shape=info.shape,
                dtype=info.dtype,
                ome=True,
                photometric="minisblack",
                metadata=metadata,
            )
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
        with continuing(path), tifffile.TiffFile(location) as file:
            series, plane = file.series[0], file.pages.first
            found = (series.size, plane.shape, series.dtype)
            if series.dataoffset is None or found != (prod(info.shape), info.plane_shape, info.dtype):
                raise ValueError("its pixels have another shape or type")
            offset = series.dataoffset
        return TiffOutput(path, info, plan_items(info, layout or default_layout(info)), location, offset)
