"""Pairs in the layouts that data sets come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from baikal_deploy.errors import BaikalError, VolumeError
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.pairs import Pair, find_pairs
from baikal_training.simulate.pairs import PairSet
from tests.capabilities import require


def counts(*shape: int, seed: int = 0, dtype: Any = "u2") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def save(path: Path, pixels: np.ndarray, axes: str = "") -> Path:
    """In the format of the suffix."""
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    elif path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".zarr":
        zarr.create_array(path, data=pixels)
    else:
        tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": axes} if axes else None)
    return path


def assert_pair(pair: Pair, name: str, noisy: np.ndarray, clean: np.ndarray | None, is_volume: bool) -> None:
    first, second = pair.read()
    assert (pair.name, pair.is_volume) == (name, is_volume)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, noisy)
    if clean is None:
        assert second is None
    else:
        assert second is not None
        assert second.dtype == np.float32
        np.testing.assert_array_equal(second, clean)


def test_noisy_and_clean_folders_with_images_of_any_format(tmp_path: Path) -> None:
    suffixes = {
        "a.b": (".png", ".ome.tif"),
        "c": (".npy", ".png"),
        "d": (".OME.TIFF", ".ome.zarr"),
        "e": (".zarr", ".tif"),
    }
    for seed, (name, (first, second)) in enumerate(suffixes.items()):
        save(tmp_path / "noisy" / f"{name}{first}", counts(20, 30, seed=seed))
        save(tmp_path / "clean" / f"{name}{second}", counts(20, 30, seed=seed + 10))
    (tmp_path / "noisy" / "notes.txt").write_text("no image")
    (tmp_path / "noisy" / "._a.b.png").write_bytes(b"of macOS")
    (tmp_path / "clean" / "more").mkdir()
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == list(suffixes)
    for seed, pair in enumerate(pairs):
        noisy, clean = counts(1, 20, 30, seed=seed), counts(1, 20, 30, seed=seed + 10)
        assert_pair(pair, list(suffixes)[seed], noisy, clean, False)


@pytest.mark.parametrize("file_format", ["zarr", "tiff"])
def test_what_the_simulator_writes(file_format: Any, tmp_path: Path) -> None:
    list(PairSet("nuclei", (1, 3, 32, 32), count=2, psnr=8).write(tmp_path, file_format))
    pairs = find_pairs(tmp_path)
    assert [pair.noisy.shape for pair in pairs] == [(3, 32, 32)] * 2
    assert all(pair.is_volume for pair in pairs)
    noisy, clean = pairs[0].read()
    assert clean is not None
    assert noisy.std() > clean.std()


def test_pairs_without_a_clean_side(tmp_path: Path) -> None:
    save(tmp_path / "noisy" / "a.npy", counts(2, 20, 30))
    (pair,) = find_pairs(tmp_path)
    assert_pair(pair, "a", counts(2, 20, 30), None, False)


def test_z_planes_are_a_volume_and_time_points_are_not(tmp_path: Path) -> None:
    for axes, shape in {"zyx": (3, 20, 30), "tyx": (3, 20, 30), "tzyx": (3, 1, 20, 30)}.items():
        for side in ("noisy", "clean"):
            save(tmp_path / side / f"{axes}.ome.tif", counts(*shape), axes.upper())
    found = {pair.name: pair.is_volume for pair in find_pairs(tmp_path)}
    assert found == {"zyx": True, "tyx": False, "tzyx": False}


def test_every_time_point_of_a_series_of_volumes_is_a_pair(tmp_path: Path) -> None:
    noisy, clean = counts(2, 3, 20, 30), counts(2, 3, 20, 30, seed=1)
    save(tmp_path / "noisy" / "a.ome.tif", noisy, "TZYX")
    save(tmp_path / "clean" / "a.ome.tif", clean, "TZYX")
    first, second = find_pairs(tmp_path)
    assert_pair(first, "a, time 0", noisy[0], clean[0], True)
    assert_pair(second, "a, time 1", noisy[1], clean[1], True)
    save(tmp_path / "clean" / "a.ome.tif", clean.reshape(3, 2, 20, 30), "TZYX")
    with pytest.raises(EvaluationError, match=r"a: the noisy image has shape \(2, 3, .* \(3, 2, 20, 30\)"):
        find_pairs(tmp_path)


def test_channels(tmp_path: Path) -> None:
    noisy, clean = counts(2, 20, 30), counts(2, 20, 30, seed=1)
    save(tmp_path / "noisy" / "a.ome.tif", noisy, "CYX")
    save(tmp_path / "clean" / "a.ome.tif", clean, "CYX")
    (pair,) = find_pairs(tmp_path, channel=1)
    assert_pair(pair, "a", noisy[1:], clean[1:], False)
    with pytest.raises(VolumeError, match="has 2 channels"):
        find_pairs(tmp_path)


def test_test_data_of_care(tmp_path: Path) -> None:
    for folder in ("GT", "condition_1", "condition_2"):
        for name in "ab":
            save(tmp_path / folder / f"{name}.tif", counts(3, 20, 30, seed=hash_of(folder, name)), "ZYX")
    pairs = find_pairs(tmp_path)
    names = ["condition_1/a", "condition_1/b", "condition_2/a", "condition_2/b"]
    for pair, name in zip(pairs, names, strict=True):
        folder, image = name.split("/")
        noisy, clean = (counts(3, 20, 30, seed=hash_of(side, image)) for side in (folder, "GT"))
        assert_pair(pair, name, noisy, clean, True)


def hash_of(folder: str, name: str) -> int:
    return sum((folder + name).encode())


def test_low_and_gt_folders_of_csbdeep(tmp_path: Path) -> None:
    save(tmp_path / "low" / "a.tif", counts(3, 20, 30), "ZYX")
    save(tmp_path / "GT" / "a.tif", counts(3, 20, 30, seed=1), "ZYX")
    (pair,) = find_pairs(tmp_path)
    assert_pair(pair, "a", counts(3, 20, 30), counts(3, 20, 30, seed=1), True)


@pytest.mark.parametrize("save_npz", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("axes", "shape"), [("SCYX", (4, 1, 20, 30)), ("SCZYX", (2, 1, 3, 20, 30)), ("SYX", (4, 20, 30))]
)
def test_training_data_of_care(
    save_npz: Callable[..., None], axes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    noisy, clean = counts(*shape, dtype="f4"), counts(*shape, seed=1, dtype="f4")
    save_npz(tmp_path / "a.npz", X=noisy, Y=clean, axes=axes)
    pairs = find_pairs(tmp_path / "a.npz")
    assert len(pairs) == shape[0]
    for number, pair in enumerate(pairs):
        planes = [side[number].reshape(-1, 20, 30) for side in (noisy, clean)]
        assert_pair(pair, f"a {number}", *planes, "Z" in axes)


@pytest.mark.parametrize("flat", [(2, 1, 1, 20, 30), (2, 1, 20, 30)], ids=["one plane", "no z axis"])
def test_noisy_volumes_of_cares_projection_data_are_max_projected(
    flat: tuple[int, ...], tmp_path: Path
) -> None:
    noisy, clean = counts(2, 1, 3, 20, 30), counts(*flat, seed=1)
    np.savez(tmp_path / "a.npz", X=noisy, Y=clean, axes="SCZYX")
    for number, pair in enumerate(find_pairs(tmp_path / "a.npz")):
        assert pair.noisy.shape == (1, 20, 30)
        projected = noisy[number].max(axis=1)
        assert_pair(pair, f"a {number}", projected, clean[number].reshape(1, 20, 30), False)
        window = pair.noisy.read(0, slice(2, 9), slice(3, 5))
        np.testing.assert_array_equal(window, projected[0, 2:9, 3:5])


def write_table(path: Path, *rows: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(("name,noisy,clean", *rows)), encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_names_the_files_of_any_other_layout(encoding: str, tmp_path: Path) -> None:
    save(tmp_path / "data" / "x_raw1.png", counts(20, 30))
    save(tmp_path / "data" / "x_gt.png", counts(20, 30, seed=1))
    rows = ("µ 2,data/x_raw1.png,data/x_gt.png", "", "1,data/x_raw1.png,", "0,data/x_raw1.png")
    first, second, third = find_pairs(write_table(tmp_path / "fmd.csv", *rows, encoding=encoding))
    assert_pair(first, "µ 2", counts(1, 20, 30), counts(1, 20, 30, seed=1), False)
    assert_pair(second, "1", counts(1, 20, 30), None, False)
    assert_pair(third, "0", counts(1, 20, 30), None, False)


def test_a_digest_tells_pixels_shapes_types_and_sides_apart(tmp_path: Path) -> None:
    def digest(noisy: np.ndarray, clean: np.ndarray | None, suffix: str = ".npy") -> str:
        save(tmp_path / f"n{suffix}", noisy)
        other = "" if clean is None else save(tmp_path / f"c{suffix}", clean).name
        (pair,) = find_pairs(write_table(tmp_path / "t.csv", f"a,n{suffix},{other}"))
        return pair.digest

    noisy, clean = counts(2, 20, 30), counts(2, 20, 30, seed=1)
    brighter = noisy.copy()
    brighter[1, 19, 29] += 1
    different = [
        digest(noisy, clean),
        digest(brighter, clean),
        digest(noisy, brighter),
        digest(clean, noisy),
        digest(noisy, None),
        digest(noisy.reshape(3, 20, 20), clean.reshape(3, 20, 20)),
        digest(noisy.astype("i2"), clean),
        digest(noisy, clean.astype("f4")),
    ]
    assert len(set(different)) == len(different)
    assert (
        digest(noisy, clean, ".tif") == digest(noisy.astype(">u2"), np.asfortranarray(clean)) == different[0]
    )


def refused(path: Path, match: str, error: type[BaikalError] = EvaluationError) -> None:
    with pytest.raises(error, match=match):
        [pair.read() for pair in find_pairs(path)]


def test_names_without_a_partner(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "noisy" / f"{name}.png", counts(20, 30))
    for name in "bx":
        save(tmp_path / "clean" / f"{name}.png", counts(20, 30))
    refused(tmp_path, r"images without a partner: only noisy/ has a, c; only clean/ has x: rename or remove")
    for number in range(12):
        save(tmp_path / "clean" / f"y{number:02}.png", counts(20, 30))
    refused(tmp_path, r"only clean/ has x, y00, .*, y08 and 3 more:")


def test_two_images_of_one_name(tmp_path: Path) -> None:
    save(tmp_path / "noisy" / "a.png", counts(20, 30))
    save(tmp_path / "noisy" / "a.tif", counts(20, 30))
    refused(tmp_path, "noisy: several images are named a;")
    refused(write_table(tmp_path / "t.csv", "b,noisy/a.png", "b,noisy/a.tif"), r"t\.csv: several .* named b;")


@pytest.mark.parametrize("shape", [(21, 30), (2, 20, 30)])
def test_sides_of_different_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    save(tmp_path / "noisy" / "a.npy", counts(20, 30))
    save(tmp_path / "clean" / "a.npy", counts(*shape))
    full = rf"\({', '.join(map(str, (1, *shape)[-3:]))}\)"
    refused(tmp_path, rf"^a: the noisy image has shape \(1, 20, 30\) and the clean one {full}")


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
@pytest.mark.parametrize("side", ["noisy", "clean"])
def test_pixels_that_are_not_finite(side: str, value: float, tmp_path: Path) -> None:
    for each in ("noisy", "clean"):
        pixels = counts(20, 30, dtype="f8")
        pixels[3, 4] = value if each == side else 0
        save(tmp_path / each / "a.npy", pixels)
    refused(tmp_path, rf"{side}/a\.npy: holds NaN or infinite pixels")


def test_places_without_pairs(tmp_path: Path) -> None:
    require("links")
    needed = r"needed is a folder with noisy/ and clean/, .* \.csv with the columns name, noisy, clean"
    refused(tmp_path, f"no pairs of images in it; {needed}; TIFF, PNG")
    refused(tmp_path / "typo", f"typo: no such file or folder; {needed}")
    refused(save(tmp_path / "a.png", counts(20, 30)), rf"a\.png: is not a data set; {needed}")
    (tmp_path / "noisy").mkdir()
    refused(tmp_path, "no pairs")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    refused(tmp_path / "loop.csv", r"loop\.csv: cannot be read: .*; check the path and its permissions")
    refused(write_table(tmp_path / "t.csv"), "no pairs")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"name;noisy;clean\na;b;c", "has the columns name;noisy;clean; needed are name, noisy, clean"),
        (b"", "has no columns; needed are name, noisy, clean"),
        (b"name,noisy\na,b", "has the columns name, noisy; needed"),
        (b"name,noisy,clean\n,a.npy,", "row 1 has no name or no noisy image"),
        (b"name,noisy,clean\na,a.npy,\nb,,a.npy", "row 2 has no name or no noisy image"),
        (b"name,noisy,clean\na,gone.npy,", r"gone\.npy: no such image"),
        (b"name,noisy,clean\na,a.npy,gone.npy", r"gone\.npy: no such image"),
        (b"name,noisy,clean\na,two.npz,", r"two\.npz: holds both sides of many pairs"),
        (b"name,noisy,clean\na,two.tif,", r"two\.tif: holds 2 images; save each in a file"),
        (b"name,noisy,clean\n\xff\xfe,a,b", "is not a CSV file in UTF-8"),
    ],
)
def test_tables_that_are_refused(text: bytes, match: str, tmp_path: Path) -> None:
    save(tmp_path / "a.npy", counts(20, 30))
    np.savez(tmp_path / "two.npz", X=counts(2, 20, 30), Y=counts(2, 20, 30), axes="SYX")
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(counts(20, 30), photometric="minisblack")
        writer.write(counts(40, 50), photometric="minisblack")
    (tmp_path / "t.csv").write_bytes(text)
    refused(tmp_path / "t.csv", match)


def test_care_files_that_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=counts(3, 20, 30), Y=counts(2, 20, 30), axes="SYX")
    refused(tmp_path / "a.npz", r"a\.npz: has 3 noisy and 2 clean samples")
    np.savez(tmp_path / "a.npz", X=counts(3, 20, 30), Y=counts(3, 20, 31), axes="SYX")
    refused(
        tmp_path / "a.npz", r"a 0: the noisy image has shape \(1, 20, 30\) and the clean one \(1, 20, 31\)"
    )
    np.savez(tmp_path / "a.npz", Y=counts(3, 20, 30), axes="SYX")
    refused(tmp_path / "a.npz", "needed are X, Y and axes", VolumeError)
    (tmp_path / "a.npz").write_bytes(b"")
    refused(tmp_path / "a.npz", r"a\.npz: cannot be read", VolumeError)
