"""Volumes: where planes are read from and written to.

``base`` holds the types, ``layout`` the output's shards, ``pyramid`` its levels, ``ngff`` the image
metadata, ``stores`` the care for folders; ``zarr`` reads and writes. Only the types are imported
here: zarr is loaded by whoever opens a volume.
"""

from __future__ import annotations

from baikal_deploy.volumes.base import Axis, Volume, VolumeInfo, WorkItem

__all__ = ["Axis", "Volume", "VolumeInfo", "WorkItem"]
