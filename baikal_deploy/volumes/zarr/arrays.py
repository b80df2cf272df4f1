"""The arrays of an image that is written: their chunks, shards and codecs."""

from __future__ import annotations

from typing import Any

import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.layout import Layout, chunk_shape, shard_shape
from baikal_deploy.volumes.storage import Codec, Ngff, Storage

USUAL_CODEC = "zstd:1"
NESTED: Any = {"name": "v2", "separator": "/"}
"""Names of chunks in Zarr 2, as OME-NGFF 0.4 wants them."""


def create_array(
    group: zarr.Group,
    level: int,
    info: VolumeInfo,
    plane_shape: tuple[int, int],
    layout: Layout,
    storage: Storage,
) -> zarr.Array[Any]:
    """Make the array of a level of the pyramid, all of which is 0.

    Args:
        group: the image.
        level: its number, which is its name.
        info: the image.
        plane_shape: (H, W) of the level.
        layout: of the items.
        storage: how it is stored.
    """
    shape, codec = info.shape[:-2] + plane_shape, storage.packing(USUAL_CODEC)
    options: dict[str, Any] = {
        "shape": shape,
        "dtype": info.dtype,
        "chunks": chunk_shape(shape, layout.level_edge(level), storage.chunk),
        "fill_value": 0,
    }
    if group.metadata.zarr_format == 2:
        return group.create_array(
            str(level), compressors=compressor(codec, "0.4"), chunk_key_encoding=NESTED, **options
        )
    return group.create_array(
        str(level),
        shards=shard_shape(shape, layout, level, storage.chunk) if storage.sharded else None,
        compressors=compressor(codec, "0.5"),
        dimension_names=[axis.name for axis in info.axes],
        **options,
    )


def compressor(codec: Codec, ngff: Ngff) -> Any:
    """A codec as zarr has it for the Zarr that a version of OME-NGFF is stored in.

    Args:
        codec: that was asked for.
        ngff: the version.

    Returns:
        The codec; None: none.
    """
    return _of_zarr_2(codec) if ngff == "0.4" else _of_zarr_3(codec)


def _of_zarr_3(codec: Codec) -> Any:
    match codec.name:
        case "zlib":
            return GzipCodec(level=codec.level)
        case "zstd":
            return ZstdCodec(level=codec.level)
        case "blosc":
            return BloscCodec(cname="zstd", clevel=codec.level)
    return None


def _of_zarr_2(codec: Codec) -> Any:
    import numcodecs  # the codecs of Zarr 2

    match codec.name:
        case "zlib":
            return numcodecs.Zlib(level=codec.level)  # gzip would write the time into it
        case "zstd":
            return numcodecs.Zstd(level=codec.level)
        case "blosc":
            return numcodecs.Blosc(cname="zstd", clevel=codec.level)
    return None
