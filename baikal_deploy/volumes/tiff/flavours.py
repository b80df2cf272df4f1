"""The two kinds of TIFF that are written: OME-TIFF, and hyperstacks of ImageJ where the input is one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any, Protocol
from xml.sax.saxutils import escape

from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.storage import Codec
from baikal_deploy.volumes.tiff.imagej import imagej_options, imagej_shape, is_for_imagej
from baikal_deploy.volumes.tiff.ome import check_expressible, ome_metadata, uuid_of
from baikal_deploy.volumes.tiff.resolution import resolution_options
from baikal_deploy.volumes.tiff.subresolutions import has_subresolutions

_OME = re.compile("<Description>(.*?)</Description>", re.DOTALL)
_UUID = re.compile("urn:uuid:[0-9a-f-]{36}")
_IMAGEJ = re.compile("^baikal=(.*)$", re.MULTILINE)


class Flavour(Protocol):
    """One kind of TIFF."""

    def check(self, path: Path, info: VolumeInfo) -> None:
        """Refuse an image that it cannot hold.

        Args:
            path: the output, for messages.
            info: the image.

        Raises:
            VolumeError: its pixel type, a unit or a name.
        """

    def shape(self, info: VolumeInfo) -> tuple[int, ...]:
        """Shape in the order in which pages lie in the file."""

    def page(self, info: VolumeInfo, plane: int) -> int:
        """Number of the page that a plane is.

        Args:
            info: the image.
            plane: its number.
        """

    def options(self, path: Path, info: VolumeInfo, provenance: str) -> dict[str, Any]:
        """Arguments with which tifffile writes such a file.

        Args:
            path: the output, for messages.
            info: the image.
            provenance: as JSON.
        """

    def described(self, description: str, provenance: Mapping[str, Any]) -> str:
        """Description of the finished file, from that of the unfinished one."""


class Ome:
    """OME-TIFF: a ``Flavour``, whose methods are described there."""

    def check(self, path: Path, info: VolumeInfo) -> None:
        """Refuse an image that OME-XML has no words for."""
        check_expressible(path, info)

    def shape(self, info: VolumeInfo) -> tuple[int, ...]:
        """Shape of the image: pages lie as planes are numbered."""
        return info.shape

    def page(self, info: VolumeInfo, plane: int) -> int:
        """Number of the plane."""
        return plane

    def options(self, path: Path, info: VolumeInfo, provenance: str) -> dict[str, Any]:
        """Arguments for a file with OME-XML."""
        metadata = {**ome_metadata(path, info), "Description": provenance, "UUID": uuid_of(provenance)}
        return {
            "ome": True,
            "photometric": "minisblack",
            "metadata": metadata,
            **resolution_options(info),
        }

    def described(self, description: str, provenance: Mapping[str, Any]) -> str:
        """OME-XML with the provenance, and an UUID that is that of such an image."""
        text = json.dumps(provenance)
        written = f"<Description>{escape(text)}</Description>"
        found = _OME.sub(lambda _: written, description, count=1)
        return _UUID.sub(f"urn:uuid:{uuid_of(text)}", found)


class ImageJ:
    """Hyperstack of ImageJ: a ``Flavour``, whose methods are described there."""

    def check(self, path: Path, info: VolumeInfo) -> None:
        """Nothing is left to refuse: what ImageJ cannot hold becomes OME-TIFF."""

    def shape(self, info: VolumeInfo) -> tuple[int, ...]:
        """Shape with the axes t, z, c, y, x, as ImageJ has them."""
        return imagej_shape(info)

    def page(self, info: VolumeInfo, plane: int) -> int:
        """Number of the page with channels before z."""
        sizes = {axis.name: size for axis, size in zip(info.axes, info.shape, strict=True)}
        at = dict(zip((axis.name for axis in info.axes), info.position(plane), strict=False))
        page = at.get("t", 0) * sizes.get("z", 1) + at.get("z", 0)
        return page * sizes.get("c", 1) + at.get("c", 0)

    def options(self, path: Path, info: VolumeInfo, provenance: str) -> dict[str, Any]:
        """Arguments for a file with ImageJ's notes."""
        return imagej_options(info, provenance)

    def described(self, description: str, provenance: Mapping[str, Any]) -> str:
        """ImageJ's notes with the provenance."""
        return _IMAGEJ.sub(lambda _: f"baikal={json.dumps(provenance)}", description, count=1)


def flavour_of(path: Path, info: VolumeInfo, codec: Codec) -> Flavour:
    """The kind of TIFF that an image becomes.

    Args:
        path: the output.
        info: the image.
        codec: that compresses it.
    """
    plain = codec.name == "none" and not has_subresolutions(info.plane_shape)
    return ImageJ() if plain and is_for_imagej(path, info) else Ome()


def provenance_in(description: str) -> Any:
    """Provenance in the description of a file, as JSON gives it; None where there is none.

    Raises:
        ValueError: it is damaged.
    """
    found = _OME.search(description)
    text = unescape(found[1]) if found else None
    if text is None and (notes := _IMAGEJ.search(description)):
        text = notes[1]
    return None if text is None else json.loads(text)
