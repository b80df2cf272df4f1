"""The two forms of OME-NGFF attributes that are written: 0.5 in Zarr 3, and 0.4 in Zarr 2.

Specification: https://ngff.openmicroscopy.org/0.5/ and /0.4/.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from baikal_deploy.volumes.storage import Ngff

IMAGE = ("multiscales", "omero", "image-label")
"""What NGFF knows of an image."""
ZARR_FORMAT: dict[Ngff, Any] = {"0.4": 2, "0.5": 3}
"""Version of Zarr that each is stored in."""
METADATA_FILE: dict[Ngff, str] = {"0.4": ".zattrs", "0.5": "zarr.json"}
"""File that holds the attributes of a group."""


def ngff_of(group: Any) -> Ngff:
    """Version of a group that was written here.

    Args:
        group: of zarr.
    """
    return "0.4" if group.metadata.zarr_format == 2 else "0.5"


def block_of(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Attributes of a group that NGFF knows, from where 0.5 or 0.4 keeps them."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def in_form(attributes: Mapping[str, Any], keys: Collection[str], ngff: Ngff) -> dict[str, Any]:
    """Attributes of a group in the form of a version.

    Args:
        attributes: of either form.
        keys: those that are taken.
        ngff: the version.
    """
    block = {key: value for key, value in block_of(attributes).items() if key in keys}
    if ngff == "0.4":
        return {key: _versioned(value, {"version": "0.4"}) for key, value in block.items()}
    return {"ome": {"version": "0.5", **{key: _versioned(value, {}) for key, value in block.items()}}}


def _versioned(value: Any, version: Mapping[str, str]) -> Any:
    """A value with the version that 0.4 has in each mapping, and 0.5 in none."""
    if isinstance(value, list):
        return [_versioned(one, version) if isinstance(one, Mapping) else one for one in value]
    if isinstance(value, Mapping):
        return {**{key: one for key, one in value.items() if key != "version"}, **version}
    return value
