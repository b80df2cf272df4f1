"""Zarr groups that hold several images: bioformats2raw's layout and plates.

Specification: https://ngff.openmicroscopy.org/0.5/#bf2raw and #hcs-layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.stores import is_zarr

LAYOUT = "bioformats2raw.layout"
MAX_LISTED = 20


def is_plate(attributes: Mapping[str, Any]) -> bool:
    """Whether a group's attributes are those of a plate."""
    return "plate" in _ngff(attributes)


def is_series_group(attributes: Mapping[str, Any]) -> bool:
    """Whether a group's attributes are those of bioformats2raw's layout."""
    return LAYOUT in _ngff(attributes)


def _ngff(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where NGFF 0.5 and 0.4 keep theirs."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def series_paths(path: Path, attributes: Mapping[str, Any]) -> list[Path]:
    """The images of a group in bioformats2raw's layout, in order.

    Args:
        attributes: of its group "OME"; the images are numbered where they do not list them.
    """
    listed = _ngff(attributes).get("series")
    if isinstance(listed, list) and listed and all(isinstance(name, str) for name in listed):
        return [path / name for name in listed]
    return list(takewhile(is_zarr, (path / str(number) for number in count())))


def choose_series(path: Path, images: list[Path], series: int | None) -> Path:
    """The chosen image, or the only one.

    Raises:
        VolumeError: there is no such image, none at all, or several and no choice.
    """
    if not images:
        raise VolumeError(f"{path}: holds no image; copy or export it again")
    if series is None and len(images) == 1:
        return images[0]
    if series is not None and 0 <= series < len(images):
        return images[series]
    listed = [f"{number}: {image.relative_to(path)}" for number, image in enumerate(images[:MAX_LISTED])]
    more = [f"and {len(images) - MAX_LISTED} more"] if len(images) > MAX_LISTED else []
    wanted = "choose one with" if series is None else f"there is no series {series}; choose another with"
    raise VolumeError(f"{path}: holds {len(images)} images ({', '.join(listed + more)}); {wanted} --series N")


def refuse_plate(path: Path, fields: list[Path]) -> VolumeError:
    """The error for a plate given as a whole.

    Args:
        fields: the first of its images; more than ``MAX_LISTED`` mean that there are more.
    """
    listed = [str(field.relative_to(path)) for field in fields[:MAX_LISTED]]
    more = ["and more"] if len(fields) > MAX_LISTED else []
    example = f", such as {fields[0]}" if fields else ""
    return VolumeError(
        f"{path}: is a plate, with the fields {', '.join(listed + more) or '(none)'}; "
        f"give the path of one of them{example}"
    )
