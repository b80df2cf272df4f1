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

NOISY, CLEAN = "X", "Y"
"""Names of the arrays with the two sides."""
_AXES = {4: "scyx", 5: "sczyx"}
"""Axes of arrays without a record of them: csbdeep puts samples first, then channels."""
_LOCAL_HEADER = struct.Struct("<26xHH")
"""Header of a member of a ZIP file: the lengths of the name and of the extra field that follow (APPNOTE
4.3.7).
"""


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
    return [_npz_image(path, CLEAN)]


def npz_pair(path: Path) -> tuple[Image, Image]:
    """Both sides of a .npz file of CARE training data, the noisy one first."""
    return _npz_image(path, NOISY), _npz_image(path, CLEAN)


def _npz_image(path: Path, name: str) -> Image:
    with path.open("rb") as file, np.load(file) as arrays:
        found = arrays.files
        axes = str(arrays["axes"]).lower() if "axes" in found else ""
    if name in found:
        pixels, shape, dtype = _member(path, name)
        axes = axes or _AXES.get(len(shape), "")
    if name not in found or not axes:
        raise VolumeError(
            f"{path}: holds the arrays {', '.join(found)}; needed are X, Y and axes, as CARE "
            f"has them: save the clean images as .npy"
        )
    _require_planes(path, shape)
    if len(shape) == len(axes) - 1:  # Y is a projection of X
        axes = axes.replace("z", "")
    return Image(f"{path}, {name}", pixels, shape, dtype, axes)


def _member(path: Path, name: str) -> tuple[Pixels, tuple[int, ...], np.dtype[Any]]:
    offset = _stored_offset(path, name)
    if offset is not None:
        member = NpzMember(path, offset)
        mapped = member.open()
        return OnDisk(member), mapped.shape, mapped.dtype
    with path.open("rb") as file, np.load(file) as arrays:
        array = arrays[name]
    return array, array.shape, array.dtype


def _require_planes(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) < 2:
        raise VolumeError(f"{path}: its array has shape {shape}; needed are planes (Y, X)")


@dataclass(frozen=True)
class NpyFile:
    """A .npy file, which is memory-mapped."""

    path: Path

    def open(self) -> Pixels:
        array: Pixels = np.load(self.path, mmap_mode="r")
        return array


def _stored_offset(path: Path, name: str) -> int | None:
    """Offset in bytes of an array in the file; None if it is not stored uncompressed."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        return (
            info.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size)))
        )


@dataclass(frozen=True)
class NpzMember:
    """An uncompressed .npy, ``offset`` bytes from the beginning of a .npz file, which is memory-mapped."""

    path: Path
    offset: int

    def open(self) -> np.memmap[Any, Any]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            version = npy_format.read_magic(file)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            return np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C")
