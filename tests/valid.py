"""Whether an output is valid OME-NGFF 0.5 or 0.4, or OME-TIFF, to validators that are none of ours."""

from __future__ import annotations

from pathlib import Path

import ngff_zarr
import ome_types
import tifffile
import yaozarrs
import zarr


def assert_valid(path: Path) -> None:
    """An image, a label image, a plate, or a store of several images."""
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path, mode="r")
    is_04 = group.metadata.zarr_format == 2
    block = group.attrs.asdict() if is_04 else group.attrs["ome"]
    assert isinstance(block, dict)
    if "plate" in block:
        ngff_zarr.from_hcs_zarr(str(path), validate=True)
    elif "multiscales" in block:
        ngff_zarr.from_ngff_zarr(str(path), validate=True, version="0.4" if is_04 else "0.5")


def assert_valid_ome_tiff(path: Path) -> None:
    """By the schema of OME-XML, and with as many planes as it says."""
    with tifffile.TiffFile(path) as file:
        assert file.ome_metadata is not None
        ome_types.validate_xml(file.ome_metadata)
        (image,) = ome_types.from_xml(file.ome_metadata).images
        pixels = image.pixels
        assert (pixels.size_y, pixels.size_x) == file.pages.first.shape
        assert pixels.size_t * pixels.size_c * pixels.size_z == len(file.pages)
