"""Simulated images as OME-Zarr and OME-TIFF. A file gets its name when it is complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.errors import VolumeError
from baikal_deploy.host.moves import move, remove_file
from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.paths import check_file, check_output, partial_path, require_free
from baikal_deploy.volumes.replacing import replace_store
from baikal_training.simulate.scenes.base import Scene

Format = Literal["zarr", "tiff"]
SUFFIXES: dict[Format, str] = {"zarr": ".ome.zarr", "tiff": ".ome.tif"}


@dataclass(frozen=True)
class Image:
    """Counts (T, Z, Y, X) uint16, and what is recorded beside them.

    Attributes:
        pixels: the counts.
        scene: for the channel's name and the pixel size.
        name: of the image.
        provenance: anything JSON can hold.
    """

    pixels: NDArray[np.uint16]
    scene: Scene
    name: str
    provenance: dict[str, Any]


def check_target(path: Path, file_format: Format, overwrite: bool) -> None:
    """Refuse a name that is taken.

    Raises:
        VolumeError: `path` exists and must not be overwritten, or is not what is written there.
    """
    (check_output if file_format == "zarr" else check_file)(path, overwrite)


def write(path: Path, image: Image, file_format: Format) -> None:
    """Write one image, in the place of an older one.

    Raises:
        VolumeError: something is in the way; or a full disk and the like. Nothing is left behind.
    """
    partial = partial_path(path)
    require_free(partial)
    writers: dict[Format, Callable[[Path, Path, Image], None]] = {"zarr": _write_zarr, "tiff": _write_tiff}
    try:
        writers[file_format](path, partial, image)
    except OSError as error:
        raise VolumeError(
            f"{path}: cannot be written: {error.strerror or error}; free space or correct permissions"
        ) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            remove_file(partial)


def _write_tiff(path: Path, partial: Path, image: Image) -> None:
    import tifffile

    pixel, spacing = image.scene.pixel_size, image.scene.plane_spacing
    metadata = {
        "axes": "TZYX",
        "Name": image.name,
        "Description": json.dumps(image.provenance),
        "Channel": {"Name": [image.scene.label]},
        "PhysicalSizeX": pixel,
        "PhysicalSizeY": pixel,
        "PhysicalSizeZ": round(pixel * spacing, 6),
        **{f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"},
    }
    tifffile.imwrite(partial, image.pixels, ome=True, photometric="minisblack", metadata=metadata)
    move(partial, path)


def _write_zarr(path: Path, partial: Path, image: Image) -> None:
    from baikal_deploy.volumes.zarr.format import OmeZarr

    planes = image.pixels.reshape(-1, *image.pixels.shape[-2:])
    output = OmeZarr().create(partial, _info(path, image))
    for item in output.items:
        output.write(item, planes[item.planes.start : item.planes.stop])
    output.finish(image.provenance)
    if path.exists():
        replace_store(partial, path)
    else:
        move(partial, path)


def _info(path: Path, image: Image) -> VolumeInfo:
    times, *space = image.pixels.shape
    pixel = image.scene.pixel_size
    axes: tuple[Axis, ...] = (Axis("c"), *(Axis(name, "micrometer") for name in "zyx"))
    scale: tuple[float, ...] = (1.0, round(pixel * image.scene.plane_spacing, 6), pixel, pixel)
    shape: tuple[int, ...] = (1, *space)
    if times > 1:
        axes, scale, shape = (Axis("t"), *axes), (1.0, *scale), (times, *shape)
    start, end = (int(value) for value in np.percentile(image.pixels, (0.1, 99.9)))
    window = {"min": 0, "max": 65535, "start": start, "end": end}
    channel = {"label": image.scene.label, "color": "FFFFFF", "active": True, "window": window}
    return VolumeInfo(
        path=path,
        axes=axes,
        shape=shape,
        dtype=np.dtype(np.uint16),
        scale=scale,
        translation=(0.0,) * len(axes),
        name=image.name,
        omero={"channels": [channel]},
    )
