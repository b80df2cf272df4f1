"""Writer of OME-TIFF: one file, uncompressed, plane by plane.

The file is laid out first, with room for every plane, and lies beside its place until it is complete. Its
description holds what a Zarr store has as an attribute: how it was made, and whether it is complete.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import uuid4
from xml.sax.saxutils import escape

import numpy as np
import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import sync_file
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import check_item
from baikal_deploy.volumes.layout import Layout, default_layout, plan_items
from baikal_deploy.volumes.paths import check_file, partial_path, unfinished_by, writing
from baikal_deploy.volumes.tiff.ome import check_expressible, ome_metadata
from baikal_deploy.volumes.urls import Source

DESCRIPTION = re.compile("<Description>(.*?)</Description>", re.DOTALL)


@dataclass(frozen=True)
class TiffOutput:
    """An OME-TIFF that is being written: a ``Writer``, whose class is a ``Format``.

    Attributes:
        offset: of the first pixel in the file.
    """

    NAME: ClassVar[str] = "TIFF"
    GROWS: ClassVar[bool] = False
    SHARED: ClassVar[bool] = False
    NESTS: ClassVar[bool] = False
    KEPT: ClassVar[str] = "uncompressed"

    path: Path
    info: VolumeInfo
    items: Sequence[WorkItem]
    location: Path
    offset: int

    @classmethod
    def size(cls, info: VolumeInfo) -> int:
        """Bytes of an image, which is not compressed.

        Args:
            info: the image.
        """
        return prod(info.shape) * info.dtype.itemsize

    @classmethod
    def check_expressible(cls, path: Path, info: VolumeInfo) -> None:
        """Refuse an image that OME-TIFF cannot hold.

        Args:
            path: the output, for messages.
            info: the image.

        Raises:
            VolumeError: its pixel type, translation, a unit or a name.
        """
        check_expressible(path, info)

    @classmethod
    def check_begin(cls, path: Path, overwrite: bool, leftovers: Collection[Path]) -> None:
        """Refuse an output that cannot be begun where it is to be; see ``Format.check_begin``.

        Args:
            path: the output.
            overwrite: a file that is there already may be replaced.
            leftovers: paths that will be removed.

        Raises:
            VolumeError: something is there that must not be overwritten.
        """
        check_file(path, overwrite)
        partial = partial_path(path.resolve())
        if partial not in leftovers and os.path.lexists(partial):
            raise VolumeError(
                f"{partial}: is in the way, left unfinished by another run or no output of this program; "
                f"move it away"
            )

    @classmethod
    def begin(cls, path: Path, overwrite: bool) -> Path:
        """Path at which an output grows; see ``Format.begin``.

        Args:
            path: the output.
            overwrite: a file that is there already may be replaced.

        Raises:
            VolumeError: something is there that must not be overwritten.
        """
        check_file(path.resolve(), overwrite)
        return partial_path(path.resolve())

    @classmethod
    def create(
        cls,
        path: Path,
        info: VolumeInfo,
        *,
        overwrite: bool = False,
        layout: Layout | None = None,
        run: str | None = None,
    ) -> Self:
        """Write the metadata, and leave room for the planes; see ``Format.create``.

        Args:
            path: where the image will be.
            info: the image.
            overwrite: replace an existing image.
            layout: of the items; None: the default one.
            run: id of the run that writes it; None: none.

        Raises:
            VolumeError: the path is taken, or cannot be written; or an image that OME-TIFF cannot hold.
        """
        check_expressible(path, info)
        location = cls.begin(path, overwrite)
        metadata = {**ome_metadata(path, info), "Description": json.dumps(unfinished_by(run))}
        begun = location.with_name(f"{location.name}.{run or uuid4().hex}")  # half of it is no image
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
            begun.replace(location)
        return cls.resume(path, info, location, layout=layout)

    @classmethod
    def resume(cls, path: Path, info: VolumeInfo, location: Path, *, layout: Layout | None = None) -> Self:
        """Continue a file that ``create`` began; see ``Format.resume``.

        Args:
            path: where the image will be.
            info: the image, as ``create`` had it.
            location: where it is.
            layout: of the items, as ``create`` had it.

        Raises:
            VolumeError: it is not there, or is another image.
        """
        try:
            with tifffile.TiffFile(location) as file:
                series, plane = file.series[0], file.pages.first
                found = (series.size, plane.shape, series.dtype)
                if series.dataoffset is None or found != (prod(info.shape), info.plane_shape, info.dtype):
                    raise ValueError("its pixels have another shape or type")
                offset = series.dataoffset
        except Exception as error:  # of a damaged file, anything
            raise VolumeError(
                f"{path}: the unfinished output cannot be continued ({type(error).__name__}: {error}); "
                f"remove it, and run again"
            ) from error
        return cls(path, info, plan_items(info, layout or default_layout(info)), location, offset)

    @property
    def reductions(self) -> Sequence[Reduction]:
        """No reductions: a TIFF has no pyramid."""
        return ()

    def grown(self, info: VolumeInfo) -> Self:
        """Raise VolumeError: each plane of a TIFF has its place from the start.

        Args:
            info: not used.
        """
        raise VolumeError(f"{self.path}: a TIFF cannot grow; write an .ome.zarr")

    def write(self, item: WorkItem, planes: Raw) -> None:
        """Write one item to its place in the file; see ``Writer.write``.

        Args:
            item: one of ``items``.
            planes: (N, H, W), or (N, height, width) of the item's region.

        Raises:
            VolumeError: planes that do not fit the item, or a full disk and the like.
        """
        check_item(self.path, self.info, self.items, item, planes)
        with writing(self.path, self.info.describe_range(item.planes)), self.location.open("r+b") as file:
            for at, pixels in self._runs(item, planes):
                file.seek(self.offset + at * self.info.dtype.itemsize)
                file.write(np.ascontiguousarray(pixels).data)

    def _runs(self, item: WorkItem, planes: Raw) -> Iterator[tuple[int, Raw]]:
        """Number of the first pixel, and the pixels, of each part that lies together in the file."""
        height, width = self.info.plane_shape
        if item.region is None:
            numbered = zip(item.planes, planes, strict=True)
            whole = item.planes.step == 1
            yield from (
                [(item.planes.start * height * width, planes)]
                if whole
                else ((plane * height * width, pixels) for plane, pixels in numbered)
            )
            return
        y, x = item.region
        for plane, pixels in zip(item.planes, planes, strict=True):
            for row, run in enumerate(pixels, start=plane * height + y.start):
                yield row * width + x.start, run

    def reduce(self, reduction: Reduction) -> None:
        """Raise VolumeError: a reduction is one of another image.

        Args:
            reduction: of another image.
        """
        raise VolumeError(f"{self.path}: {reduction} is none of this volume's reductions; a TIFF has none")

    def files(self, piece: WorkItem | Reduction) -> list[Path]:
        """The file, in which all pieces lie.

        Args:
            piece: an item.
        """
        return [self.location]

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when all that was written is on disk; see ``Writer.sync``.

        Args:
            piece: an item.

        Raises:
            VolumeError: a full disk and the like.
        """
        with writing(self.path, self.info.describe_range(piece.planes)):
            sync_file(self.location, self.location.parent)

    def copy_labels(self, labels: Source) -> list[str]:
        """Remark that label images were left out: a TIFF has no place for them.

        Args:
            labels: the group that holds them.
        """
        return [f"label images in {labels} were left out, as a TIFF has no place for them"]

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Record how the image was made, mark it complete, and put it in its place; see ``Writer.finish``.

        Args:
            provenance: anything that JSON can hold.

        Raises:
            VolumeError: a full disk and the like.
        """
        written = f"<Description>{escape(json.dumps({**provenance, 'complete': True}))}</Description>"
        with writing(self.path, "the provenance"):
            xml = str(tifffile.tiffcomment(self.location))
            described = DESCRIPTION.sub(lambda _: written, xml, count=1)
            if described != xml:
                tifffile.tiffcomment(self.location, described.encode())
                sync_file(self.location, self.location.parent)
            self.location.replace(self.path.resolve())


def provenance_of(path: Path) -> dict[str, Any] | None:
    """Provenance in a file of this package; None for anything else.

    Args:
        path: of anything.
    """
    try:
        found = DESCRIPTION.search(str(tifffile.tiffcomment(path))) if path.is_file() else None
        provenance = json.loads(unescape(found[1])) if found else None
    except Exception:  # of a damaged file, anything
        return None
    return provenance if isinstance(provenance, dict) and "complete" in provenance else None
