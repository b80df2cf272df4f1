"""Writer of OME-TIFF: one file, uncompressed, plane by plane.

The file is laid out first, with room for every plane, and lies beside its place until it is complete. Its
description holds what a Zarr store has as an attribute: how it was made, and whether it is complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, Self
from xml.sax.saxutils import escape

import numpy as np
import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import sync_file
from baikal_deploy.host.moves import move
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import Reduction, VolumeInfo, WorkItem
from baikal_deploy.volumes.indexing import check_item
from baikal_deploy.volumes.paths import writing
from baikal_deploy.volumes.urls import Source

DESCRIPTION = re.compile("<Description>(.*?)</Description>", re.DOTALL)


@dataclass(frozen=True)
class TiffOutput:
    """An OME-TIFF that is being written: a ``Writer``, whose methods are described there.

    Attributes:
        offset: of the first pixel in the file.
    """

    path: Path
    info: VolumeInfo
    items: Sequence[WorkItem]
    location: Path
    offset: int

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
        written = f"<Description>{escape(json.dumps({**provenance, 'complete': True}))}</Description>"
        with writing(self.path, "the provenance"):
            xml = str(tifffile.tiffcomment(self.location))
            described = DESCRIPTION.sub(lambda _: written, xml, count=1)
            if described != xml:
                tifffile.tiffcomment(self.location, described.encode())
                sync_file(self.location, self.location.parent)
            move(self.location, self.path.resolve())


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
