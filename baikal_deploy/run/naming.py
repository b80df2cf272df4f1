"""The name of an output that nobody has named, and so its format."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.create import format_of

LARGEST = 4 * 2**30
"""Bytes of the pixels beyond which a file is not a TIFF any more that every program can read."""


def named(config: RunConfig, info: VolumeInfo, *, shared: bool) -> tuple[RunConfig, str]:
    """Options with the name of the output.

    A file becomes an OME-TIFF unless that would not do; --format and OUTPUT say otherwise.

    Args:
        config: as they were asked for.
        info: of the result.
        shared: whether several processes write it.

    Returns:
        The options, and why an OME-Zarr is written where a file would become a TIFF; empty where none is.

    Raises:
        ConfigError: an output at a URL that several processes are to write.
    """
    if config.output is not None:
        return config, ""
    if config.upload is not None:
        if shared:
            raise ConfigError(f"{config.upload}: is uploaded by one process; leave out --dask")
        return replace(config, output=config.target), ""
    why = "" if config.format is not None else _why_not(config, info, shared)
    kind = "zarr" if why else config.format
    target = replace(config, format=kind).target
    return replace(config, output=format_of(target, config.storage).named(target, info)), why


def _why_not(config: RunConfig, info: VolumeInfo, shared: bool) -> str:
    """Why an image does not become what its input is; empty if it does."""
    written = format_of(config.target, config.storage)
    if shared and not written.SHARED:
        return f"several processes cannot write one {written.NAME} file (--dask)"
    if not written.NESTS and prod(info.shape) * info.dtype.itemsize > LARGEST:
        return f"few programs read a {written.NAME} above 4 GB; --format tif writes one all the same"
    try:
        written.check_expressible(config.target, info)
    except VolumeError as error:
        return str(error).removeprefix(f"{config.target}: ").rpartition(";")[0]
    return ""
