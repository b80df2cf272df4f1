"""Claims of a TIFF file on itself, checked before tifffile believes them: other files, how many planes."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.calibration import ome_files
from baikal_deploy.volumes.formats import LARGEST_INDEX, NDTIFF_INDEX
from baikal_deploy.volumes.names import require_beside

MOST_PLANES = 4_000_000
"""Planes at most of a file and those that belong to it. tifffile makes lists of them before it looks for
any."""
_MICRO_MANAGER = ("Frames", "Positions", "Slices", "Channels")


def require_credible(path: Path, file: Any) -> None:
    """Refuse what tifffile had better not go into.

    Args:
        path: the file.
        file: of tifffile, whose series were not asked for yet.

    Raises:
        VolumeError: others of its files that are not beside it; more planes than anybody has.
        ValueError: metadata with a text where a number should be.
        ParseError: OME-XML that is not XML.
    """
    xml, beside = file.ome_metadata, Path(file.filehandle.dirname)
    for name in ome_files(xml) if xml else ():
        if str(name).lower() != path.name.lower():
            require_beside(beside, name)  # links followed, as tifffile does
    planes = sum(_ome_planes(xml, file.pages.first.size)) if xml else 0
    if file.is_ndtiff:
        planes += _indexed_planes(beside)
    if file.is_mmstack:
        planes += _micro_manager_planes(file.micromanager_metadata or {})
    if planes > MOST_PLANES:
        raise VolumeError(
            f"{path}: its metadata tells of {planes} planes, more than the {MOST_PLANES} that are believed; "
            f"correct it, or export the image again"
        )


def _indexed_planes(folder: Path) -> int:
    """Planes of an NDTiff data set by its index, every file of which must lie beside it."""
    index, most = folder / NDTIFF_INDEX[0], dict[str, int]()
    if not index.is_file():
        return 0
    if index.stat().st_size > LARGEST_INDEX:
        raise VolumeError(f"{index}: is larger than any index of images; copy or export the data set again")
    for axes, name, *_ in tifffile.read_ndtiff_index(index):
        require_beside(folder, name)
        for axis, at in axes.items():
            most[axis] = max(most.get(axis, 0), abs(at) if isinstance(at, int) else 0)
    return prod(last + 1 for last in most.values())


def _ome_planes(xml: str, page: int) -> Iterator[int]:
    """Numbers of pages that each image has, by its sizes, and that each of its parts has.

    Args:
        page: pixels of one page.
    """
    for pixels in ElementTree.fromstring(xml).iter():
        if pixels.tag.endswith("Pixels"):  # by the ends of tags, as tifffile does
            sizes = [_number(pixels, f"Size{axis}") for axis in "XYZCT"]
            yield prod(sizes) // max(1, page)
            yield max(
                (_number(part, name) for part in pixels for name in ("NumPlanes", "PlaneCount")), default=0
            )


def _number(element: ElementTree.Element, name: str) -> int:
    return abs(int(element.get(name, "0")))


def _micro_manager_planes(metadata: dict[str, Any]) -> int:
    summary, index = metadata.get("Summary") or {}, metadata.get("IndexMap")
    sizes = [int(summary.get(name, 1)) for name in _MICRO_MANAGER]
    if index is not None and len(index):
        sizes = [
            max(pair)
            for pair in zip(sizes, [int(one) + 1 for one in index[:, [2, 3, 1, 0]].max(0)], strict=True)
        ]
    return prod(map(abs, sizes))
