"""Zarr groups that hold several images: bioformats2raw's layout and plates.

Specification: https://ngff.openmicroscopy.org/0.5/#bf2raw and #hcs-layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.names import folded, member, members
from baikal_deploy.volumes.paths import is_zarr
from baikal_deploy.volumes.urls import Source, inside
from baikal_deploy.volumes.zarr.versions import block_of

LAYOUT = "bioformats2raw.layout"
KEPT = ("plate", "well", "series", LAYOUT)
"""What NGFF knows of a group that holds images."""
MAX_LISTED = 20


def is_plate(attributes: Mapping[str, Any]) -> bool:
    """True if a group's attributes are those of a plate."""
    return "plate" in block_of(attributes)


def is_series_group(attributes: Mapping[str, Any]) -> bool:
    """True if a group's attributes are those of bioformats2raw's layout."""
    return LAYOUT in block_of(attributes)


def series_paths(path: Source, attributes: Mapping[str, Any]) -> list[Source]:
    """Images of a group in bioformats2raw's layout, in order.

    Args:
        path: the group.
        attributes: of its group "OME"; the images are numbered where they do not list them.

    Raises:
        VolumeError: names that do not stand for images in the group.
    """
    listed = block_of(attributes).get("series") or []
    if not isinstance(listed, list):
        raise VolumeError(f"{path}: its metadata has no list of series; correct the metadata")
    if any(folded(str(name)).split("/")[0] == "ome" for name in listed):
        raise VolumeError(
            f"{path}: its metadata names a series 'OME', which is not an image; correct the metadata"
        )
    if listed:
        return [path / name for name in members(path, listed, "a series")]
    numbered = (member(path, str(number), "a series") for number in count())
    return list(takewhile(is_zarr, numbered))


def choose_series(path: Source, images: list[Source], series: int | None) -> Source:
    """The chosen image, or the only one.

    Args:
        path: the store, for messages.
        images: all of them, in order.
        series: the choice; None: the only one.

    Raises:
        VolumeError: there is no such image, none at all, or several and no choice.
    """
    if not images:
        raise VolumeError(f"{path}: holds no image; copy or export it again")
    if series is None and len(images) == 1:
        return images[0]
    if series is not None and 0 <= series < len(images):
        return images[series]
    listed = [f"{number}: {inside(image, path)}" for number, image in enumerate(images[:MAX_LISTED])]
    more = [f"and {len(images) - MAX_LISTED} more"] if len(images) > MAX_LISTED else []
    wanted = "choose one with" if series is None else f"there is no series {series}; choose another with"
    raise VolumeError(f"{path}: holds {len(images)} images ({', '.join(listed + more)}); {wanted} --series N")


def well_names(attributes: Mapping[str, Any]) -> list[object]:
    """Wells of a plate, as it names them.

    Args:
        attributes: of the plate.

    Raises:
        LookupError: metadata that lacks a key.
        TypeError: metadata with a value of another kind.
    """
    return [well["path"] for well in block_of(attributes)["plate"]["wells"]]


def field_names(attributes: Mapping[str, Any]) -> list[object]:
    """Images of a well, as it names them.

    Args:
        attributes: of the well.

    Raises:
        LookupError: metadata that lacks a key.
        TypeError: metadata with a value of another kind.
    """
    return [image["path"] for image in block_of(attributes)["well"]["images"]]


def refuse_plate(path: Source, fields: list[str]) -> VolumeError:
    """Error for a plate where one image is needed.

    Args:
        path: the plate.
        fields: its images, by paths in it.
    """
    listed = [*fields[:MAX_LISTED], *(["and more"] if len(fields) > MAX_LISTED else [])]
    example = f", such as {path / fields[0]}" if fields else ""
    return VolumeError(
        f"{path}: is a plate, with the fields {', '.join(listed) or '(none)'}; "
        f"give the path of one of them{example}"
    )
