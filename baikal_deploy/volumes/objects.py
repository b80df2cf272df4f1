"""Objects that are written to an object store, through obstore; see ``urls`` for credentials and retries."""

from __future__ import annotations

from pathlib import Path

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.urls import Url, open_store, translated

WRITABLE = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
"""Schemes of URLs that can be written to."""


def put_object(root: Url, key: str, data: bytes | Path) -> None:
    """Write an object; it is there for good, and whole, when this returns.

    Args:
        root: of the store.
        key: name of the object below the root.
        data: its contents, or the file that holds them.

    Raises:
        VolumeError: the server or the network failed, or access is denied.
    """
    with translated(root / key):
        import obstore

        try:
            obstore.put(open_store(root), key, data)
        except FileNotFoundError as error:
            raise VolumeError(f"{root}: there is no such bucket; make it, or correct the address") from error


def remove_object(root: Url, key: str) -> None:
    """Remove an object, if it is there.

    Args:
        root: of the store.
        key: name of the object below the root.

    Raises:
        VolumeError: the server or the network failed, or access is denied.
    """
    with translated(root / key):
        import obstore

        try:
            obstore.delete(open_store(root), key)
        except FileNotFoundError:
            return
