"""Writes the groups that hold the images of a plate or of a store in bioformats2raw's layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import zarr

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.durable import sync_file, write_file
from baikal_deploy.volumes.names import member
from baikal_deploy.volumes.paths import PROVENANCE, is_zarr, writing
from baikal_deploy.volumes.storage import Ngff
from baikal_deploy.volumes.urls import Source, stamp
from baikal_deploy.volumes.zarr.collections import KEPT, is_plate
from baikal_deploy.volumes.zarr.guarded import METADATA
from baikal_deploy.volumes.zarr.metadata import validate
from baikal_deploy.volumes.zarr.patient import PatientFolder
from baikal_deploy.volumes.zarr.reader import attributes_of
from baikal_deploy.volumes.zarr.versions import METADATA_FILE, ZARR_FORMAT, block_of, in_form, ngff_of

XML = "METADATA.ome.xml"
"""Name of the file, in the group "OME", with what bioformats2raw keeps of the original file."""


def described_as(source: Source, ngff: Ngff) -> dict[str, Any]:
    """Attributes of a group with the same images as another.

    Args:
        source: the other group.
        ngff: version of OME-NGFF.

    Raises:
        VolumeError: attributes that do not make valid ones.
    """
    attributes = in_form(attributes_of(source), KEPT, ngff)
    if is_plate(attributes):
        validate(source, dict(block_of(attributes)))
    return attributes


def write_groups(
    source: Source, target: Path, images: list[str], record: Mapping[str, Any], ngff: Ngff
) -> None:
    """Write a group like another, with all but its images.

    Args:
        source: the other group.
        target: the group to write.
        images: paths in it, with "/" between names.
        record: what to say of the group, beside its own attributes.
        ngff: version of OME-NGFF.

    Raises:
        VolumeError: images that do not lie in it, attributes that are not valid, links out of the group,
            XML that is too large, or a full disk and the like.
    """
    ome = member(source, "OME", "a group")
    xml = _read_xml(member(ome, XML, "a file"))
    attributes = {**described_as(source, ngff), PROVENANCE: dict(record)}
    for image in images:  # before anything is written
        _inner(target, image)
    with writing(target, "the metadata"):
        zarr.create_group(PatientFolder(target), attributes=attributes, zarr_format=ZARR_FORMAT[ngff])
        write_missing(source, target, images, ngff)
        if is_zarr(ome):
            _write_group(target / "OME", ome, ngff)
            if xml is not None:
                write_file(target / "OME" / XML, xml)


def _inner(target: Path, image: str) -> PurePosixPath:
    """Path of an image in a group; one that is not would be written somewhere else.

    Raises:
        VolumeError: an absolute path, of any system, or one that leads out of the group.
    """
    path = PurePosixPath(image)
    if path.is_absolute() or PureWindowsPath(image).anchor or "\\" in image or ".." in path.parts:
        raise VolumeError(f"{target}: image {image!r} does not lie in it by that name; nothing was written")
    return path


def write_missing(source: Source, target: Path, images: list[str], ngff: Ngff) -> None:
    """Write the groups around images, as far as they are not there.

    Args:
        source, target, images, ngff: as for ``write_groups``.

    Raises:
        VolumeError: a full disk and the like, or an image that does not lie in the group.
    """
    parents = {parent for image in images for parent in _inner(target, image).parents if parent.name}
    with writing(target, "the metadata"):
        for parent in sorted(parents):
            if not is_zarr(target / parent):
                _write_group(target / parent, source / parent.as_posix(), ngff)


def _write_group(target: Path, source: Source, ngff: Ngff) -> None:
    """Write a group with the attributes of another; without any if that is not there."""
    attributes = in_form(attributes_of(source), KEPT, ngff) if is_zarr(source) else {}
    zarr.create_group(PatientFolder(target), attributes=attributes, zarr_format=ZARR_FORMAT[ngff])


def _read_xml(file: Source) -> bytes | None:
    """What bioformats2raw keeps of the original file; None where there is none.

    Raises:
        VolumeError: a file that is too large.
    """
    found = stamp(file) if file.is_file() else None
    if found is None:
        return None
    if found[0] > METADATA:
        raise VolumeError(
            f"{file}: is larger than any metadata, of {found[0]} bytes; move it away, or export the images "
            f"again"
        )
    return file.read_bytes()


def write_record(target: Path, record: Mapping[str, Any]) -> None:
    """Replace what is said of a group.

    Args:
        target: the group.
        record: as in ``write_groups``.

    Raises:
        VolumeError: a full disk and the like.
    """
    with writing(target, "the record"):
        group = zarr.open_group(PatientFolder(target), mode="r+", use_consolidated=False)
        if group.attrs.asdict().get(PROVENANCE) != record:
            group.update_attributes({PROVENANCE: dict(record)})
            sync_file(target / METADATA_FILE[ngff_of(group)], target)
