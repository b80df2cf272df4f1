"""Images of every format, seen as planes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from baikal_deploy.errors import VolumeError
from baikal_training.data.readers import Planes, care_pair, images
from baikal_training.data.readers.base import OnDisk


def counts(*shape: int, dtype: Any = "u2", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def write_tiff(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})
    return path


def only(path: Path, channel: int | str | None = None) -> Planes:
    (image,) = images(path)
    return image.planes(channel)


def assert_holds(planes: Planes, expected: np.ndarray) -> None:
    """Shape, dtype, every window and the whole are those of (N, H, W)."""
    assert planes.shape == expected.shape
    assert planes.dtype == expected.dtype
    assert planes.dtype.isnative
    np.testing.assert_array_equal(planes.read_all(), expected)
    for plane in range(len(expected)):
        window = planes.read(plane, slice(3, 19), slice(5, 28))
        assert window.dtype == expected.dtype
        np.testing.assert_array_equal(window, expected[plane, 3:19, 5:28])


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "i2", "f8", ">u2"])
@pytest.mark.parametrize("name", ["a.TIF", "b.npy"])
def test_single_plane(name: str, dtype: str, tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype=dtype)
    write_tiff(tmp_path / "a.TIF", pixels, byteorder=">" if dtype[0] == ">" else "<")
    np.save(tmp_path / "b.npy", pixels)
    assert_holds(only(tmp_path / name), pixels[None].astype(pixels.dtype.newbyteorder("=")))


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_png(dtype: str, tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype=dtype)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert_holds(only(tmp_path / "a.png"), pixels[None])


@pytest.mark.parametrize("hue", [(1, 1, 1), (0, 1, 0), (1, 1, 0)])
def test_png_with_a_palette_of_one_hue(hue: tuple[int, int, int], tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype="u1")
    levels = np.random.default_rng(1).permutation(256).astype("u1")  # not in order: an index is no intensity
    image = Image.fromarray(pixels).copy()
    image.putpalette((levels[:, None] * np.array(hue, "u1")).tobytes())
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
    assert_holds(only(tmp_path / "a.png"), levels[pixels][None])


STORAGE: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "compressed": {"compression": "zlib"},
    "strips": {"compression": "zlib", "rowsperstrip": 3},
    "tiles": {"compression": "zlib", "tile": (16, 16)},
    "bigtiff": {"bigtiff": True, "byteorder": ">"},
}


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("kind", ["plain", "ome"])
def test_every_z_plane_and_time_point_of_a_tiff_is_a_plane(storage: str, kind: str, tmp_path: Path) -> None:
    pixels = counts(3, 2, 40, 50)
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    write_tiff(path, pixels, **STORAGE[storage], metadata={"axes": "TZYX"})
    assert_holds(only(path), pixels.reshape(6, 40, 50))


def test_imagej_hyperstack_with_one_page_only(tmp_path: Path) -> None:
    """ImageJ stacks above 4 GB have one page, and the other planes follow its pixels."""
    pixels = counts(6, 40, 50)
    path = write_tiff(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path, mode="r+b") as file:
        at = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
        file.filehandle.seek(at)
        file.filehandle.write(bytes(4))
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1 or file.pages[1].is_virtual
    assert_holds(only(path), pixels)


def test_every_series_of_a_tiff_is_an_image(tmp_path: Path) -> None:
    first, second = counts(2, 20, 30), counts(40, 50, seed=1)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(first, photometric="minisblack")
        writer.write(second, photometric="minisblack", compression="zlib")
    one, two = images(tmp_path / "a.tif")
    assert_holds(one.planes(None), first)
    assert_holds(two.planes(None), second[None])
    assert one.planes(None).name == f"{tmp_path / 'a.tif'}, series 0"


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_with_leading_axes(order: Any, tmp_path: Path) -> None:
    pixels = counts(2, 3, 20, 30)
    np.save(tmp_path / "a.npy", np.asarray(pixels, order=order))
    assert_holds(only(tmp_path / "a.npy"), pixels.reshape(6, 20, 30))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("axes", "shape"), [("SCYX", (4, 1, 20, 30)), ("SCZYX", (2, 1, 3, 20, 30)), ("SYX", (4, 20, 30))]
)
def test_care_npz_gives_its_clean_side(
    save: Callable[..., None], axes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    clean = np.asfortranarray(counts(*shape, dtype="f4"))
    save(tmp_path / "a.npz", X=counts(*shape, seed=1), Y=clean, axes=axes)
    assert_holds(only(tmp_path / "a.npz"), clean.reshape(-1, 20, 30))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("flat", [(2, 1, 1, 20, 30), (2, 1, 20, 30)], ids=["one plane", "no z axis"])
def test_both_sides_of_care_npz_whose_clean_side_is_a_projection(
    save: Callable[..., None], flat: tuple[int, ...], tmp_path: Path
) -> None:
    noisy, clean = counts(2, 1, 3, 20, 30), counts(*flat, seed=1)
    save(tmp_path / "a.npz", X=noisy, Y=clean, axes="SCZYX")
    first, second = care_pair(tmp_path / "a.npz")
    assert_holds(first.planes(None), noisy.reshape(6, 20, 30))
    assert_holds(second.planes(None), clean.reshape(2, 20, 30))
    assert_holds(only(tmp_path / "a.npz"), clean.reshape(2, 20, 30))


@pytest.mark.parametrize(("axes", "shape"), [("scyx", (4, 1, 20, 30)), ("sczyx", (2, 1, 3, 20, 30))])
def test_care_npz_without_a_record_of_its_axes(axes: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=counts(*shape), Y=counts(*shape, seed=1))
    assert [side.axes for side in care_pair(tmp_path / "a.npz")] == [axes, axes]


def test_care_npz_without_a_noisy_side(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", Y=counts(3, 20, 30), axes="SYX")
    with pytest.raises(VolumeError, match="holds the arrays Y, axes; needed are X, Y and axes"):
        care_pair(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"no zip at all")
    with pytest.raises(VolumeError, match=r"b\.npz: cannot be read as an image"):
        care_pair(tmp_path / "b.npz")


@pytest.mark.parametrize(("axis", "at"), [("t", 0), ("c", 1), ("z", 2)])
def test_images_along_an_axis(axis: str, at: int, tmp_path: Path) -> None:
    pixels = counts(2, 3, 4, 20, 30)
    (image,) = images(write_ome_zarr(tmp_path / "a.zarr", pixels, "tczyx", ["A", "B", "C"]))
    parts = image.along(axis)
    assert len(parts) == pixels.shape[at]
    for place, part in enumerate(parts):
        own = np.take(pixels, place, at)
        expected = own if axis == "c" else own.take(1, axis=own.shape.index(3))
        assert_holds(part.planes(None if axis == "c" else 1), expected.reshape(-1, 20, 30))
    (plain,) = images(write_tiff(tmp_path / "a.tif", pixels[0, 0, 0]))
    assert plain.along(axis) == [plain]


def test_what_can_be_is_memory_mapped(tmp_path: Path) -> None:
    pixels = counts(3, 20, 30)
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "b.npz", Y=pixels, axes="SYX")
    write_tiff(tmp_path / "c.tif", pixels)
    for path in sorted(tmp_path.iterdir()):
        (image,) = images(path)
        assert isinstance(image.pixels, OnDisk)
        assert isinstance(image.pixels.source.open(), np.memmap)


@pytest.mark.parametrize("version", [2, 3])
def test_plain_zarr(version: Any, tmp_path: Path) -> None:
    pixels = counts(3, 40, 50)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(2, 16, 16), zarr_format=version)
    assert_holds(only(tmp_path / "a.zarr"), pixels)


def write_ome_zarr(path: Path, pixels: np.ndarray, axes: str, labels: list[str]) -> Path:
    group = zarr.create_group(path, zarr_format=3)
    group.create_array("0", data=pixels)
    scale = {"type": "scale", "scale": [1.0] * pixels.ndim}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    block = {"version": "0.5", "multiscales": [{"axes": [{"name": a} for a in axes], "datasets": datasets}]}
    group.attrs["ome"] = block | {"omero": {"channels": [{"label": label} for label in labels]}}
    return path


def test_collections_of_ome_zarr_images(tmp_path: Path) -> None:
    plate = tmp_path / "plate.zarr"
    zarr.create_group(plate)
    zarr.create_group(plate / "A")
    zarr.create_group(plate / "A" / "1")
    fields = [counts(2, 20, 30, seed=seed) for seed in range(2)]
    for number, pixels in enumerate(fields):
        write_ome_zarr(plate / "A" / "1" / str(number), pixels, "zyx", [])
    found = [image.planes(None) for image in images(plate)]
    assert [planes.name for planes in found] == [str(plate / "A" / "1" / str(i)) for i in range(2)]
    for planes, pixels in zip(found, fields, strict=True):
        assert_holds(planes, pixels)


def write_channels(kind: str, folder: Path, pixels: np.ndarray) -> Path:
    """(T, C, Y, X) with channels DAPI and GFP in a format that has room for names, or not."""
    if kind == "ome-tiff":
        metadata = {"axes": "TCYX", "Channel": {"Name": ["DAPI", "GFP"]}}
        return write_tiff(folder / "a.ome.tif", pixels, metadata=metadata)
    if kind == "ome-zarr":
        return write_ome_zarr(folder / "a.zarr", pixels, "tcyx", ["DAPI", "GFP"])
    if kind == "npz":
        np.savez(folder / "a.npz", Y=pixels, axes="SCYX")
        return folder / "a.npz"
    return write_tiff(folder / "a.tif", pixels, imagej=True, metadata={"axes": "TCYX"})


@pytest.mark.parametrize("kind", ["ome-tiff", "ome-zarr", "npz", "imagej"])
def test_channels_are_chosen_by_number_or_name(kind: str, tmp_path: Path) -> None:
    pixels = counts(3, 2, 40, 50)
    path = write_channels(kind, tmp_path, pixels)
    assert_holds(only(path, 1), pixels[:, 1])
    assert only(path, 1).name.endswith(", channel 1")
    if kind.startswith("ome"):
        assert_holds(only(path, "DAPI"), pixels[:, 0])
    listing = r"0 'DAPI', 1 'GFP'" if kind.startswith("ome") else "0, 1"
    message = rf"a\..*: has 2 channels \({listing}\); choose one with --channel"
    with pytest.raises(VolumeError, match=message):
        only(path)
    for wrong in (2, -1, "dapi"):
        with pytest.raises(VolumeError, match=rf"{wrong!r} is not exactly one of them.*--channel"):
            only(path, wrong)


def test_a_name_that_two_channels_have_chooses_none(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", counts(2, 20, 30), "cyx", ["GFP", "GFP"])
    with pytest.raises(VolumeError, match="'GFP' is not exactly one of them"):
        only(path, "GFP")


def test_a_single_channel_is_taken_if_nothing_else_is_chosen(tmp_path: Path) -> None:
    pixels = counts(2, 20, 30)
    path = write_ome_zarr(tmp_path / "a.zarr", pixels[:, None], "tcyx", ["DAPI"])
    for channel in (None, 0, "DAPI"):
        assert_holds(only(path, channel), pixels)
    assert only(path).name == str(path)
    for wrong in (1, "GFP"):
        with pytest.raises(VolumeError, match=rf"one channel \(0 'DAPI'\); {wrong!r} is not"):
            only(path, wrong)
