"""Reading clean images, and splitting them by file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.intensity import IntensityMap, Normalisation
from baikal_training.data import CleanPlane, read_clean, split

PERCENTILES = Normalisation()


def counts(*shape: int, dtype: str = "u2", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def write_tiff(path: Path, pixels: np.ndarray, **options: object) -> None:
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})


def expected_pixels(planes: np.ndarray) -> np.ndarray:
    """Each stack is one volume: one map for all of its planes."""
    low, high = np.percentile(planes.astype(np.float64), [PERCENTILES.low, PERCENTILES.high])
    return IntensityMap(low, high).normalise(planes)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_png(dtype: str, tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype=dtype)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (plane,) = read_clean(tmp_path, PERCENTILES)
    assert plane.path == tmp_path / "a.png"
    np.testing.assert_allclose(plane.pixels, expected_pixels(pixels), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "i2"])
def test_flat_tiff(dtype: str, tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype=dtype)
    write_tiff(tmp_path / "a.TIF", pixels)
    (plane,) = read_clean(tmp_path, PERCENTILES)
    np.testing.assert_allclose(plane.pixels, expected_pixels(pixels), rtol=1e-6)
    assert plane.pixels.dtype == np.float32


def test_stack_is_normalised_as_one_volume(tmp_path: Path) -> None:
    stack = np.stack([counts(20, 30), 10 * counts(20, 30, seed=1), counts(20, 30, seed=2) // 10])
    write_tiff(tmp_path / "a.tiff", stack, compression="zlib")
    planes = read_clean(tmp_path, PERCENTILES)
    np.testing.assert_allclose([plane.pixels for plane in planes], expected_pixels(stack), rtol=1e-6)
    assert planes[1].pixels.max() > 0.9 > 0 > planes[2].pixels.max()


def test_step_is_one_grey_level_and_zero_for_floats(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", counts(20, 30))
    write_tiff(tmp_path / "b.tif", counts(20, 30).astype("f4"))
    integer, real = read_clean(tmp_path, PERCENTILES)
    levels = np.unique(integer.pixels)
    assert integer.step == pytest.approx(np.diff(levels).min(), rel=1e-4)
    assert real.step == 0


def test_files_are_found_below_the_folder_in_order(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.png", "deep/er/c.png", "a.png"):
        Image.fromarray(counts(20, 30, dtype="u1")).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    found = [plane.path.relative_to(tmp_path).as_posix() for plane in read_clean(tmp_path, PERCENTILES)]
    assert found == ["a.png", "b.png", "deep/er/c.png"]


def refused(folder: Path, name: str, match: str) -> None:
    with pytest.raises(VolumeError, match=match) as caught:
        read_clean(folder, PERCENTILES)
    assert str(folder / name) in str(caught.value)


def test_colour_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(counts(20, 30, 3, dtype="u1")).save(tmp_path / "a.png")
    refused(tmp_path, "a.png", "colour image; convert it to grey")


def test_palette_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(counts(20, 30, 3, dtype="u1")).quantize(16).save(tmp_path / "a.png")
    refused(tmp_path, "a.png", "colour")


def test_colour_tiff_is_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", counts(20, 30, 3, dtype="u1"), photometric="rgb")
    refused(tmp_path, "a.tif", "colour")


@pytest.mark.parametrize(
    "pixels",
    [counts(2, 3, 8, 9), counts(9, 8) > 100, counts(9, 8).astype("c8")],
    ids=["4d", "bool", "complex"],
)
def test_other_shapes_and_dtypes_are_refused(pixels: np.ndarray, tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", pixels)
    refused(tmp_path, "a.tif", r"needed is grey, \(Y, X\) or \(Z, Y, X\)")


DAMAGES = [(name, damage) for name in ("a.png", "a.tif") for damage in ("empty", "text", "half")]


@pytest.mark.parametrize(
    ("name", "damage"),
    [*DAMAGES, ("a.png", "header"), ("a.tif", "header")],
)
def test_corrupt_image_is_refused(name: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.png":
        Image.fromarray(counts(64, 64, dtype="u1")).save(path)
    else:
        write_tiff(path, counts(64, 64))
    whole = path.read_bytes()
    parts = {"empty": b"", "text": b"no image at all", "header": whole[:7], "half": whole[: len(whole) // 2]}
    path.write_bytes(parts[damage])
    refused(tmp_path, name, "cannot be read as an image")


def test_tiff_with_a_damaged_tag_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, counts(64, 64))
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["RowsPerStrip"].overwrite(0)
        file.pages[0].tags["ImageLength"].overwrite(0)
    refused(tmp_path, "a.tif", "cannot be read as an image")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype="f4")
    pixels[3, 4] = value
    write_tiff(tmp_path / "a.tif", pixels)
    refused(tmp_path, "a.tif", "NaN or infinite")


def test_constant_images_are_left_out(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.full((20, 30), 5, np.uint8))
    with pytest.raises(VolumeError, match="every image is constant"):
        read_clean(tmp_path, PERCENTILES)
    write_tiff(tmp_path / "b.tif", counts(20, 30))
    assert [plane.path.name for plane in read_clean(tmp_path, PERCENTILES)] == ["b.tif"]


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="no TIFF or PNG images"):
        read_clean(tmp_path, PERCENTILES)
    with pytest.raises(VolumeError, match=r"gone: no such folder"):
        read_clean(tmp_path / "gone", PERCENTILES)


def planes_of(names: list[str], each: int = 3) -> list[CleanPlane]:
    pixels = np.zeros((4, 4), np.float32)
    return [CleanPlane(Path("folder", name), pixels, 0.0) for name in names for _ in range(each)]


NAMES = [f"cell-{i}.tif" for i in range(400)]


def test_split_is_by_file_and_loses_nothing() -> None:
    planes = planes_of(NAMES)
    training, validation = split(planes)
    files = [{plane.path for plane in side} for side in (training, validation)]
    assert not files[0] & files[1]
    assert len(training) + len(validation) == len(planes)
    assert 0.06 < len(files[1]) / len(NAMES) < 0.14
    assert len({plane.path for plane in split(planes, 0.5)[1]}) == pytest.approx(200, abs=40)


def test_split_is_stable_when_files_are_added_or_moved() -> None:
    few = {plane.path.name for plane in split(planes_of(NAMES[:200]))[1]}
    many = {plane.path.name for plane in split(planes_of(NAMES))[1]}
    assert few == many & set(NAMES[:200])
    moved = [CleanPlane(Path("elsewhere", name), plane.pixels, 0.0) for name, plane in zip(
        NAMES, planes_of(NAMES, 1), strict=True
    )]  # fmt: skip
    assert {plane.path.name for plane in split(moved)[1]} == many


def test_too_few_files_to_split_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few clean files to split"):
        split(planes_of(NAMES[:1]))


@pytest.mark.parametrize("count", range(2, 12))
def test_two_files_are_enough_to_split(count: int) -> None:
    training, validation = split(planes_of(NAMES[:count]))
    assert training
    assert validation
