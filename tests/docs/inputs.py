"""The images that the commands of the docs name: the shipped sample, or small parts of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.zarr.format import OmeZarr
from tests.docs.blocks import ROOT
from tests.e2e.test_collection import make_plate

SAMPLE = ROOT / "examples" / "nuclei.ome.zarr"
PART = (slice(2, 4), slice(100, 164), slice(60, 124))
"""Two planes with whole nuclei in them."""
CHANNELS = ("DAPI", "BF")


def write(folder: Path, whole: bool) -> dict[str, Any]:
    """Write every input that a page may name into a folder.

    Args:
        folder: an empty one.
        whole: the sample as it is, in place of a part of it.

    Returns:
        Names that the Python blocks take for granted, such as ``stack``.
    """
    planes = open_input(SAMPLE).read(range(8))
    stack = planes if whole else planes[PART]
    series = np.stack([stack, stack[::-1]])
    for name in ("examples/nuclei", "volume", "stack", "out"):
        ome_zarr(folder / f"{name}.ome.zarr", "czyx", stack[None], ["nuclei"])
    ome_zarr(folder / "cells.ome.zarr", "czyx", np.stack([stack, stack]), CHANNELS)
    ome_zarr(folder / "movie.ome.zarr", "tzyx", series)
    ome_zarr(folder / "movie3d.ome.zarr", "tzyx", series)
    make_plate(folder / "plate.ome.zarr", stack[:1])
    tifffile.imwrite(
        folder / "cells.tif",
        np.stack([stack, stack]),
        ome=True,
        metadata={"axes": "CZYX", "Channel": {"Name": list(CHANNELS)}},
    )
    for name in ("stack.tif", "out.ome.tif", "raw/a_488.tif", "raw/b_488.tif", "folder/a.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(folder / name, stack, ome=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "movie.tif", stack, photometric="minisblack")
    return {"stack": stack, "planes": stack, "frame": stack[0]}


def ome_zarr(path: Path, axes: str, pixels: NDArray[Any], channels: Any = ()) -> None:
    info = VolumeInfo(
        path=path,
        axes=tuple(Axis(name, "micrometer" if name in "zyx" else None) for name in axes),
        shape=pixels.shape,
        dtype=pixels.dtype,
        scale=tuple({"z": 0.975, "y": 0.325, "x": 0.325}.get(name, 1.0) for name in axes),
        translation=(0.0,) * len(axes),
        omero={"channels": [{"label": name, "color": "00A0FF"} for name in channels]} if channels else None,
    )
    output = OmeZarr().create(path, info, overwrite=False)
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    for item in output.items:
        output.write(item, planes[item.planes.start : item.planes.stop])
    output.finish({})
