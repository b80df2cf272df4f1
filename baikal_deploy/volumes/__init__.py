"""Volumes: where planes are read from and written to.

``base`` holds the types of what is read, ``writer`` those of what is written, ``layout`` the output's
shards, ``pyramid`` its levels; ``paths``, ``places``, ``replacing`` and ``cleanup`` take care of folders;
``zarr`` and ``tiff`` read and write, ``vendors`` reads other formats, and ``growing`` looks at an input that
is still written. Only the types are imported here: zarr is loaded by whoever opens a volume.
"""

from __future__ import annotations

from baikal_deploy.volumes.base import Axis, Volume, VolumeInfo, WorkItem

__all__ = ["Axis", "Volume", "VolumeInfo", "WorkItem"]
