"""Whether an output is valid OME-NGFF 0.5 or 0.4, in the eyes of two validators that are none of ours."""

from __future__ import annotations

from pathlib import Path

import ngff_zarr
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
