"""Finding, measuring and holding clean volumes."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.sample import SAMPLE_PIXELS
from baikal_training.data import Augmentation, Catalogue, CropDataset, in_memory, open_clean
from tests.capabilities import require

PERCENTILES = Normalisation()
ALL = slice(0, 10**6)


def counts(*shape: int, dtype: Any = "u2", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def opened(*paths: Path, **options: Any) -> Catalogue:
    return open_clean(paths, PERCENTILES, **options)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    elif path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".npz":
        np.savez(path, Y=pixels, axes="SYX"[3 - pixels.ndim :])
    elif path.suffix == ".zarr":
        zarr.create_array(path, data=pixels)
    else:
        tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def test_a_volume_has_one_map_for_all_of_its_planes(tmp_path: Path) -> None:
    stack = np.stack([counts(20, 30), 10 * counts(20, 30, seed=1), counts(20, 30, seed=2) // 10])
    (volume,) = opened(save(tmp_path / "a.tif", stack)).volumes
    low, high = np.percentile(stack.astype(np.float64), [PERCENTILES.low, PERCENTILES.high])
    assert volume.intensity == IntensityMap(low, high)
    for number, plane in enumerate(stack):
        window = volume.read(number, slice(2, 18), slice(0, 30))
        assert window.dtype == np.float32
        np.testing.assert_allclose(window, volume.intensity.normalise(plane)[2:18], rtol=1e-6)
    assert volume.step == pytest.approx(2 / (high - low))


def test_real_pixels_have_no_grey_levels(tmp_path: Path) -> None:
    (volume,) = opened(save(tmp_path / "a.npy", counts(20, 30, dtype="f4"))).volumes
    assert volume.step == 0


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_the_same_pixels_have_the_same_fingerprint_in_any_format(dtype: str, tmp_path: Path) -> None:
    pixels = counts(20, 30, dtype=dtype)
    suffixes = (".tif", ".png", ".npy", ".npz", ".zarr")
    prints = [opened(save(tmp_path / f"a{s}", pixels)).volumes[0].fingerprint for s in suffixes]
    tifffile.imwrite(tmp_path / "big.tif", pixels, byteorder=">", photometric="minisblack")
    prints.append(opened(tmp_path / "big.tif").volumes[0].fingerprint)
    assert len(set(prints)) == 1
    others = (pixels[:, ::-1], pixels.astype("u4"), pixels.reshape(30, 20), np.stack([pixels, pixels]))
    different = [opened(save(tmp_path / f"{i}.npy", p)).volumes[0].fingerprint for i, p in enumerate(others)]
    assert len({*prints, *different}) == 5


def test_inputs_are_files_stores_and_folders_in_order(tmp_path: Path) -> None:
    names = ["b.png", "deep/er/c.npy", "a.png", "deep/store.zarr", "._a.png", ".hidden/d.npy"]
    for seed, name in enumerate(names):
        save(tmp_path / name, counts(20, 30, dtype="u1", seed=seed))
    (tmp_path / "notes.txt").write_text("not an image")
    single = save(tmp_path.parent / f"{tmp_path.name}.npy", counts(20, 30, seed=9))
    found = [volume.name for volume in opened(single, tmp_path).volumes]
    below = [str(tmp_path / name) for name in ("a.png", "b.png", "deep/er/c.npy", "deep/store.zarr")]
    assert found == [str(single), *below]


def test_links_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    require("links")
    save(tmp_path / "data" / "a.npy", counts(20, 30))
    save(tmp_path / "other" / "b.npy", counts(20, 30, seed=1))
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    catalogue = opened(tmp_path / "data")
    assert [Path(volume.name).name for volume in catalogue.volumes] == ["a.npy", "b.npy"]
    assert not catalogue.duplicates


def test_duplicates_count_once(tmp_path: Path) -> None:
    pixels = counts(20, 30)
    first, other = save(tmp_path / "a.tif", pixels), save(tmp_path / "b.npy", counts(20, 30, seed=1))
    copy = save(tmp_path / "c.zarr", pixels)
    catalogue = opened(tmp_path, first)
    assert [volume.name for volume in catalogue.volumes] == [str(first), str(other)]
    assert catalogue.duplicates == (f"{copy} (the same as {first})", f"{first} (the same as {first})")


def test_constant_volumes_are_left_out_and_named(tmp_path: Path) -> None:
    dark = save(tmp_path / "dark.npy", np.full((20, 30), 5, "u1"))
    with pytest.raises(VolumeError, match="every image is constant"):
        opened(dark)
    save(tmp_path / "lit.npy", counts(20, 30))
    catalogue = opened(tmp_path)
    assert catalogue.constant == (str(dark),)
    assert len(catalogue.volumes) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    pixels = counts(3, 20, 30, dtype="f4")
    pixels[1, 3, 4] = value
    with pytest.raises(VolumeError, match=r"a\.npy: holds NaN or infinite"):
        opened(save(tmp_path / "a.npy", pixels))


def test_pixels_that_turn_out_not_to_be_finite_are_refused_when_they_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", counts(3, 20, 30, dtype="f4"))
    (volume,) = opened(path).volumes
    np.load(path, mmap_mode="r+")[2, 5, 5] = np.nan
    volume.read(1, slice(0, 20), slice(0, 30))
    with pytest.raises(VolumeError, match=r"a\.npy, plane 2: holds NaN or infinite"):
        volume.read(2, slice(0, 20), slice(0, 30))


def test_bad_files_end_it_or_are_skipped(tmp_path: Path) -> None:
    save(tmp_path / "a.npy", counts(20, 30))
    save(tmp_path / "small.npy", counts(9, 30))
    (tmp_path / "torn.tif").write_bytes(b"no image")
    with pytest.raises(VolumeError, match=r"small\.npy"):
        opened(tmp_path)
    catalogue = opened(tmp_path, skip_bad=True)
    assert [volume.name for volume in catalogue.volumes] == [str(tmp_path / "a.npy")]
    assert len(catalogue.skipped) == 2
    assert str(tmp_path / "small.npy") in catalogue.skipped[0]
    assert str(tmp_path / "torn.tif") in catalogue.skipped[1]
    (tmp_path / "a.npy").unlink()
    with pytest.raises(VolumeError, match=r"no file can be used \(2 bad\); the first: .*small\.npy"):
        opened(tmp_path, skip_bad=True)


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="no images in it; TIFF, PNG"):
        opened(tmp_path)
    for options in ({}, {"skip_bad": True}):
        with pytest.raises(VolumeError, match=r"gone: no such file or folder"):
            opened(tmp_path / "gone", **options)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_folders_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    require("modes")
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(VolumeError, match=r"shut: cannot be looked at"):
        opened(tmp_path)


def test_channel_is_passed_on(tmp_path: Path) -> None:
    pixels = counts(2, 20, 30)
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=metadata)
    (volume,) = opened(path, channel="GFP").volumes
    np.testing.assert_array_equal(volume.planes.read_all(), pixels[1:])
    with pytest.raises(VolumeError, match="--channel"):
        opened(path)


def test_files_are_looked_at_anew(tmp_path: Path) -> None:
    for seed in range(2):
        pixels = counts(20 + seed, 30, seed=seed)
        (volume,) = opened(save(tmp_path / "a.tif", pixels)).volumes
        np.testing.assert_array_equal(volume.planes.read_all()[0], pixels)


def test_volumes_are_held_in_memory_as_the_budget_allows(tmp_path: Path) -> None:
    sizes = (1, 5, 3, 1)
    stacks = [counts(planes, 20, 30, seed=seed) for seed, planes in enumerate(sizes)]
    lazy = opened(*(save(tmp_path / f"{i}.npy", stack) for i, stack in enumerate(stacks))).volumes
    held = in_memory(lazy, 4 * stacks[0].nbytes)
    for number in range(len(sizes)):
        np.load(tmp_path / f"{number}.npy", mmap_mode="r+")[:] = 0
    for number, volume in enumerate(held):
        expected = stacks[number] if number in (0, 2) else np.zeros_like(stacks[number])
        np.testing.assert_array_equal(volume.planes.read_all(), expected)
        assert volume.planes.dtype == np.uint16
    assert [volume.fingerprint for volume in held] == [volume.fingerprint for volume in lazy]


def test_large_volumes_stay_on_disk(tmp_path: Path) -> None:
    """Neither opening nor drawing crops takes memory in proportion to the volume."""
    shape = (64, 512, 512)
    array = zarr.create_array(tmp_path / "a.zarr", shape=shape, dtype="u2", chunks=(1, 128, 128))
    for plane in range(0, 64, 8):
        array[plane : plane + 8] = counts(8, 512, 512, seed=plane)
    assert np.prod(shape) > 7 * SAMPLE_PIXELS
    catalogue = opened(tmp_path)
    held = in_memory(catalogue.volumes, 2**20)
    crops = CropDataset(held, 64, 0, Augmentation())
    crops[0]
    tracemalloc.start()
    try:
        assert all(np.isfinite(crops[i].numpy()).all() for i in range(40))
        assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
    finally:
        tracemalloc.stop()
