"""Writer of TIFF: one file, plane by plane.

The file is laid out first, with room for every plane, and lies beside its place until it is complete. Its
description holds what a Zarr store has as an attribute: how it was made, and whether it is complete. What is
compressed, or has smaller versions, is made of it at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import sync_file
from baikal_deploy.host.moves import move
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import check_item
from baikal_deploy.volumes.paths import writing
from baikal_deploy.volumes.tiff.flavours import Flavour, provenance_in
from baikal_deploy.volumes.tiff.packing import Packing
from baikal_deploy.volumes.urls import Source


@dataclass(frozen=True)
class TiffOutput:
    """An OME-TIFF that is being written: a ``Writer``, whose methods are described there.

    Attributes:
        offset: of the first pixel in the file; None: it is packed already.
        flavour: kind of TIFF.
        packing: how it is packed at the end.
    """

    path: Path
    info: VolumeInfo
    items: Sequence[WorkItem]
    location: Path
    offset: int | None
    flavour: Flavour
    packing: Packing

    @property
    def reductions(self) -> Sequence[Reduction]:
        """No reductions: a TIFF has no pyramid."""
        return ()

    def grown(self, info: VolumeInfo) -> Self:
        """Raise VolumeError: each plane of a TIFF has its place from the start."""
        raise VolumeError(f"{self.path}: a TIFF cannot grow; write an .ome.zarr")

    def write(self, item: WorkItem, planes: Raw) -> None:
        """Write one item to its place in the file; see ``Writer.write``."""
        check_item(self.path, self.info, self.items, item, planes)
        assert self.offset is not None, "a finished file has no items left"
        with writing(self.path, self.info.describe_range(item.planes)), self.location.open("r+b") as file:
            for at, pixels in self._runs(item, planes):
                file.seek(self.offset + at * self.info.dtype.itemsize)
                file.write(np.ascontiguousarray(pixels).data)

    def _runs(self, item: WorkItem, planes: Raw) -> Iterator[tuple[int, Raw]]:
        """Number of the first pixel, and the pixels, of each part that lies together in the file."""
        height, width = self.info.plane_shape
        pages = [self.flavour.page(self.info, plane) for plane in item.planes]
        if item.region is None:
            if pages == list(range(pages[0], pages[0] + len(pages))):
                yield pages[0] * height * width, planes
            else:
                yield from ((page * height * width, one) for page, one in zip(pages, planes, strict=True))
            return
        y, x = item.region
        for page, pixels in zip(pages, planes, strict=True):
            for row, run in enumerate(pixels, start=page * height + y.start):
                yield row * width + x.start, run

    def reduce(self, reduction: Reduction) -> None:
        """Raise VolumeError: a reduction is one of another image."""
        raise VolumeError(f"{self.path}: {reduction} is none of this volume's reductions; a TIFF has none")

    def files(self, piece: WorkItem | Reduction) -> list[Path]:
        """The file, in which all pieces lie."""
        return [self.location]

    def sync(self, piece: WorkItem | Reduction) -> None:
        """Return when all that was written is on disk; see ``Writer.sync``."""
        with writing(self.path, self.info.describe_range(piece.planes)):
            sync_file(self.location, self.location.parent)

    def copy_labels(self, labels: Source) -> list[str]:
        """Remark that label images were left out: a TIFF has no place for them."""
        return [f"label images in {labels} were left out, as a TIFF has no place for them"]

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Record how the image was made, mark it complete, and put it in its place; see ``Writer.finish``."""
        made, target = {**provenance, "complete": True}, self.path.resolve()
        if self.offset is None:
            return  # a run that was killed after it had put it there
        with writing(self.path, "the provenance"):
            if self.packing.needed(self.info):
                options = self.flavour.options(self.path, self.info, json.dumps(made))
                self.packing.pack(self.info, self.location, self.offset, target, options)
                return
            before = str(tifffile.tiffcomment(self.location))
            described = self.flavour.described(before, made)
            if described != before:
                tifffile.tiffcomment(self.location, described.encode())
                sync_file(self.location, self.location.parent)
            move(self.location, target)


def provenance_of(path: Path) -> dict[str, Any] | None:
    """Provenance in a file of this package; None for anything else.

    Args:
        path: of anything.
    """
    try:
        provenance = provenance_in(str(tifffile.tiffcomment(path))) if path.is_file() else None
    except Exception:  # of a damaged file, anything
        return None
    return provenance if isinstance(provenance, dict) and "complete" in provenance else None


def is_complete(path: Path) -> bool:
    """True if a file of this package was finished.

    Args:
        path: of anything.
    """
    return bool((provenance_of(path) or {}).get("complete"))
