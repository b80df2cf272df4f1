"""Files that cannot be used are refused by name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from baikal_deploy.errors import VolumeError
from baikal_training.data.readers import images

PIXELS = np.random.default_rng(0).integers(0, 200, (4, 64, 64)).astype("u2")
TIFFS: dict[str, dict[str, Any]] = {
    "plain.tif": {},
    "zlib.tif": {"compression": "zlib"},
    "imagej.tif": {"imagej": True},
    "contiguous.ome.tif": {"metadata": {"axes": "ZYX"}},
    "zlib.ome.tif": {"compression": "zlib", "metadata": {"axes": "ZYX"}},
    "tiles.ome.tif": {"compression": "zlib", "tile": (32, 32), "metadata": {"axes": "ZYX"}},
}


def refused(path: Path, match: str) -> None:
    """Opening the file, or reading all of it, ends in an error that names it."""
    with pytest.raises(VolumeError, match=match) as caught:
        _ = [image.planes(None).read_all() for image in images(path)]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.2, 0.5, 0.9, 0.97, 0.995])
@pytest.mark.parametrize("name", TIFFS)
def test_truncated_tiff(name: str, share: float, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """tifffile gives what is left of most of these, and logs a warning."""
    path = tmp_path / name
    tifffile.imwrite(path, PIXELS, photometric="minisblack", **TIFFS[name])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(VolumeError, match=r"truncated|ends before|cannot be read") as caught:
        images(path)
    assert str(path) in str(caught.value)
    assert not caplog.records


def test_tiff_with_a_strip_that_was_never_written(tmp_path: Path) -> None:
    """tifffile would read zeros."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[2].tags["StripByteCounts"].overwrite(0)
    refused(path, "page 2 is missing")


def test_tifffile_logs_as_before_after_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II")
    refused(tmp_path / "a.tif", "cannot be read")
    logger = logging.getLogger("tifffile")
    assert logger.propagate
    assert not any(handler.level == logging.WARNING for handler in logger.handlers)


def write(name: str, folder: Path) -> bytes:
    path = folder / f"whole-{name}"
    if name.endswith("png"):
        Image.fromarray(PIXELS[0]).save(path)
    elif name.endswith("npy"):
        np.save(path, PIXELS)
    else:
        (np.savez if name.startswith("stored") else np.savez_compressed)(path, Y=PIXELS, axes="SYX")
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["empty", "text", "header", "half"])
@pytest.mark.parametrize("name", ["a.png", "a.npy", "stored.npz", "deflated.npz"])
def test_damaged_file(name: str, damage: str, tmp_path: Path) -> None:
    whole = write(name, tmp_path)
    parts = {"empty": b"", "text": b"no image at all", "header": whole[:7], "half": whole[: len(whole) // 2]}
    (tmp_path / name).write_bytes(parts[damage])
    refused(tmp_path / name, "cannot be read")


def test_damaged_chunk_and_metadata_of_zarr(tmp_path: Path) -> None:
    for name in ("chunk.zarr", "json.zarr"):
        zarr.create_array(tmp_path / name, data=PIXELS, chunks=(1, 64, 64))
    (tmp_path / "chunk.zarr" / "c" / "2" / "0" / "0").write_bytes(b"damaged")
    (tmp_path / "json.zarr" / "zarr.json").write_bytes(b"{")
    refused(tmp_path / "chunk.zarr", "cannot be read")
    refused(tmp_path / "json.zarr", "cannot be read as an image|metadata cannot be understood")
    (planes,) = (image.planes(None) for image in images(tmp_path / "chunk.zarr"))
    np.testing.assert_array_equal(planes.read(1, slice(0, 64), slice(0, 64)), PIXELS[1])
    with pytest.raises(VolumeError, match=r"chunk\.zarr.*plane 2"):
        planes.read(2, slice(0, 64), slice(0, 64))


def test_file_that_vanishes_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="minisblack", compression="zlib")
    (image,) = images(path)
    path.unlink()
    with pytest.raises(VolumeError, match=r"a\.tif: plane 3 cannot be read"):
        image.planes(None).read(3, slice(0, 16), slice(0, 16))


def test_file_that_is_replaced_after_it_was_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    (image,) = images(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", PIXELS[:, :40])
    with pytest.raises(VolumeError, match=r"a\.npy: plane 1 is cut short"):
        image.planes(None).read(1, slice(20, 50), slice(0, 30))


def test_colours_are_refused(tmp_path: Path) -> None:
    colours = PIXELS[:3].astype("u1").transpose(1, 2, 0)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    refused(tmp_path / "a.tif", "colour image.*convert it to grey")
    Image.fromarray(colours).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "colour.*convert to grey")
    Image.fromarray(colours).quantize(16).save(tmp_path / "b.png")
    refused(tmp_path / "b.png", "palette.*convert to grey")


@pytest.mark.parametrize(
    ("pixels", "match"),
    [
        (PIXELS[0] > 100, "needed are grey levels"),
        (PIXELS[0].astype("c8"), "needed are grey levels"),
        (PIXELS[:, :15], "must have 16 x 16"),
        (PIXELS[:0], "must have 16 x 16|cannot be read"),
        (PIXELS[0, 0], "needed are planes"),
        (np.array({"pixels": 1}), "cannot be read"),
    ],
    ids=["bool", "complex", "small", "empty", "1d", "object"],
)
def test_other_arrays_are_refused(pixels: np.ndarray, match: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pixels)
    refused(tmp_path / "a.npy", match)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"X": PIXELS, "axes": "SYX"}, "holds the arrays X, axes; needed are X, Y and axes"),
        ({"Y": PIXELS}, "needed are X, Y and axes"),
        ({"Y": PIXELS, "axes": "YX"}, "Y, X at the end"),
        ({"Y": PIXELS, "axes": "YXS"}, "Y, X at the end"),
    ],
)
def test_other_npz_files_are_refused(arrays: dict[str, Any], match: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path / "a.npz", match)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").write_bytes(b"nd2")
    refused(tmp_path / "a.nd2", r"not an image that can be read; TIFF, PNG, \.npy, CARE \.npz and Zarr can")
