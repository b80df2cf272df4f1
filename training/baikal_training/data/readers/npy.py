"""NumPy files: .npy, and .npz in the layout of CARE (csbdeep)."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from baikal_deploy.errors import VolumeError
from baikal_training.data.readers.base import OnDisk, Pixels
from baikal_training.data.readers.image import Image

CLEAN = "Y"
"""The array with the clean side; X is the noisy one."""
_LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a member of a ZIP file: the lengths of the name and of the extra field that follow (APPNOTE 4.3.7)."""


def npy_images(path: Path) -> list[Image]:
    """The array of a .npy file, (Y, X) with any leading axes."""
    array = np.load(path, mmap_mode="r")
    _require_planes(path, array.shape)
    axes = "q" * (array.ndim - 2) + "yx"
    return [Image(str(path), OnDisk(NpyFile(path)), array.shape, array.dtype, axes)]


def npz_images(path: Path) -> list[Image]:
    """The clean side of a .npz file of CARE training data: arrays X, Y and ``axes``, such as "SCYX".

    Y is memory-mapped where it is stored uncompressed, and held in memory otherwise.
    """
    with path.open("rb") as file, np.load(file) as arrays:
        if not {CLEAN, "axes"} <= set(arrays.files):
            raise VolumeError(
                f"{path}: holds the arrays {', '.join(arrays.files)}; needed are X, Y and axes, as CARE "
                f"has them: save the clean images as .npy"
            )
        axes = str(arrays["axes"]).lower()
    offset = _stored_offset(path)
    if offset is None:
        with path.open("rb") as file, np.load(file) as arrays:
            array = arrays[CLEAN]
        pixels: Pixels = array
    else:
        member = NpzMember(path, offset)
        pixels, array = OnDisk(member), member.open()
    _require_planes(path, array.shape)
    return [Image(f"{path}, {CLEAN}", pixels, array.shape, array.dtype, axes)]


def _require_planes(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) < 2:
        raise VolumeError(f"{path}: its array has shape {shape}; needed are planes (Y, X)")


@dataclass(frozen=True)
class NpyFile:
    """Memory-maps a .npy file."""

    path: Path

    def open(self) -> Pixels:
        array: Pixels = np.load(self.path, mmap_mode="r")
        return array


def _stored_offset(path: Path) -> int | None:
    """Where Y begins in the file, if it is stored uncompressed."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{CLEAN}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        return (
            info.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size)))
        )


@dataclass(frozen=True)
class NpzMember:
    """Memory-maps an uncompressed .npy inside a .npz file, ``offset`` bytes from its beginning."""

    path: Path
    offset: int

    def open(self) -> np.memmap[Any, Any]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            version = npy_format.read_magic(file)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            return np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C")
