"""A folder of mixed files as a user has it, in Fiji's terms, in and out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.open import open_input
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.e2e.test_collection import image as write_ngff
from tests.unit.volumes.test_vendors import write_czi, write_ndtiff
from tests.valid import assert_valid, assert_valid_ome_tiff

GREEN = np.zeros((3, 256), np.uint8)
GREEN[1] = range(256)
NOTES: dict[str, Any] = {
    "axes": "TZCYX", "unit": "um", "spacing": 0.5, "finterval": 2, "mode": "composite",
    "Ranges": (100.0, 400.0, 90.0, 500.0), "LUTs": [GREEN, GREEN[[1, 0, 2]]],
}  # fmt: skip
OME = {
    "axes": "CYX", "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.2,
    "PhysicalSizeYUnit": "µm", "Channel": {"Name": ["DAPI", "GFP"], "Color": [0x0000FFFF, 0x00FF00FF]},
}  # fmt: skip


def tiff(pixels: np.ndarray, **options: Any) -> Callable[[Path], Any]:
    return lambda path: tifffile.imwrite(path, pixels, **options)


def writers(counts: np.ndarray) -> dict[str, Callable[[Path], Any]]:
    """What writes each file, by name; pixels of it where they are (N, H, W)."""
    grey8 = (counts // 8).astype("u1")
    rgb = np.stack([np.zeros_like(grey8[0]), grey8[0], np.zeros_like(grey8[0])], axis=-1)
    hyper = np.stack([counts, counts + 50], axis=1)[None]
    return {
        "8 bit.tif": tiff(grey8[0]),
        "Stack größe.TIF": tiff(counts, photometric="minisblack"),
        "hyperstack.tif": tiff(hyper, imagej=True, resolution=(5, 5), metadata=NOTES),
        "movie.tif": tiff(counts, imagej=True, metadata={"axes": "TYX", "finterval": 0.1}),
        "cells.ome.tif": tiff(counts[:2], metadata=OME),
        "real.tif": tiff(counts.astype("f4") / 1000, photometric="minisblack", bigtiff=True),
        "packed.tiff": tiff(counts[0], compression="zlib", tile=(32, 32)),
        "green.tif": tiff(rgb, photometric="rgb"),
        "zeiss.czi": write_czi,
        "data_1": lambda path: write_ndtiff(path.parent),
        "plain.zarr": lambda path: write_zarr(path, counts),
        "ngff.ome.zarr": lambda path: write_ngff(path, counts, 2, "cells"),
    }


@pytest.fixture
def folder(tmp_path: Path, counts: np.ndarray) -> Path:
    path = tmp_path / "raw data"
    path.mkdir()
    for name, write in writers(counts[:, :32, :40]).items():
        write(path / name)
    (path / "notes.txt").write_text("no image")
    (path / "cut off.tif").write_bytes(b"")
    (path / "old").mkdir()
    return path


OUTPUTS = [
    "8 bit_denoised.ome.tif", "Stack größe_denoised.ome.tif", "cells_denoised.ome.tif",
    "green_denoised.ome.tif", "hyperstack_denoised.tif", "data_1_denoised.ome.zarr", "movie_denoised.tif",
    "ngff_denoised.ome.zarr", "packed_denoised.ome.tif", "plain_denoised.ome.zarr", "real_denoised.ome.tif",
    "zeiss_denoised.ome.tif",
]  # fmt: skip


def test_twelve_mixed_files(tmp_path: Path, baikal_run: BaikalRun, folder: Path) -> None:
    out = tmp_path / "denoised"
    result = baikal_run(folder, out)
    assert result.exit_code == 1
    assert "12 of 13 images denoised, 1 failed" in result.stderr
    assert "cut off.tif: is empty (0 bytes); copy or export it again" in result.stderr
    assert "nothing here reads such files: notes.txt" in result.stderr
    assert "folders, into which only --recursive looks: old" in result.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    for name in OUTPUTS:
        if name.endswith(".zarr"):
            assert_valid(out / name)
        elif name.endswith(".ome.tif"):
            assert_valid_ome_tiff(out / name)
    sources = {path.name.partition(".")[0]: path for path in folder.iterdir()}
    for name in OUTPUTS:
        assert_kept(sources[name.partition("_denoised")[0]], out / name)
    assert_hyperstack(out / "hyperstack_denoised.tif")


def assert_kept(source: Path, output: Path) -> None:
    """Axes, sizes, pixel type and names, and about the intensities."""
    before, after = open_input(source), open_input(output)

    def told(info: VolumeInfo) -> Any:
        names = [info.channel_name(channel) for channel in range(info.num_channels)]
        return info.axes, info.shape, info.dtype, names

    assert told(after.info) == told(before.info), source
    assert after.info.scale == pytest.approx(before.info.scale), source
    numbers = range(before.info.num_planes)
    assert after.read(numbers).mean() == pytest.approx(before.read(numbers).mean(), rel=0.3), source


def assert_hyperstack(path: Path) -> None:
    """What Fiji shows it by."""
    with tifffile.TiffFile(path) as file:
        notes = file.imagej_metadata
        assert notes is not None
        assert (notes["channels"], notes["slices"], notes["spacing"], notes["finterval"]) == (2, 3, 0.5, 2)
        assert (notes["unit"], notes["mode"]) == ("micron", "composite")
        assert tuple(notes["Ranges"]) == NOTES["Ranges"]
        np.testing.assert_array_equal(notes["LUTs"][1], NOTES["LUTs"][1])
