"""Copies of test images among clean images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.data import Catalogue, open_clean
from baikal_training.data.copies import find_copies
from baikal_training.data.copies.keypoints import keypoints
from baikal_training.data.copies.turns import TURNS, turned, turned_entries, turned_places
from baikal_training.data.volumes import InMemory

SIDE = 256


def cells(seed: int) -> np.ndarray:
    """A field of round cells, some touching, with texture; intensities of a 12-bit camera."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIDE, SIDE))
    field = np.zeros((SIDE, SIDE))
    for y, x, a, b in zip(*rng.uniform(0, SIDE, (2, 40)), *rng.uniform(5, 14, (2, 40)), strict=True):
        field += rng.uniform(0.3, 1) * (((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1)
    field *= 1 + 0.4 * gaussian_filter(rng.standard_normal(field.shape), 2) * 4
    return np.asarray(100 + 2000 * gaussian_filter(field, 1.2), np.float32)


def unit(plane: np.ndarray) -> np.ndarray:
    return (plane - plane.min()) / np.ptp(plane)


def noisy(plane: np.ndarray) -> np.ndarray:
    return unit(plane) + 0.15 * np.random.default_rng(9).standard_normal(plane.shape)


def binned(plane: np.ndarray) -> np.ndarray:
    height, width = (side // 2 for side in plane.shape)
    return plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda plane: plane,
    "binned": binned,
    "cropped": lambda plane: plane[30:200, 60:230],
    "smaller": lambda plane: zoom(gaussian_filter(plane, 0.6), 0.6, order=1),
    "magnified": lambda plane: zoom(plane, 1.7, order=1),
    "darker": lambda plane: unit(plane) ** 2,
    "stretched": lambda plane: np.clip(2 * unit(plane), 0, 1),
    "8-bit": lambda plane: np.round(255 * unit(plane)),
    "noisy": noisy,
    "mirrored": lambda plane: plane[:, ::-1],
    "turned": np.rot90,
    "all": lambda plane: binned(noisy(np.rot90(plane[10:, 20:]) ** 0.7)),
}


def volume(plane: np.ndarray, name: str = "plane") -> InMemory:
    return InMemory(name, np.ascontiguousarray(plane.reshape(-1, *plane.shape[-2:]), np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_copy_is_found_and_other_fields_are_not(kind: str) -> None:
    volumes = [volume(cells(seed)) for seed in range(4)]
    (found,) = find_copies(volumes, [volume(cells(8), "other"), volume(KINDS[kind](cells(2)), "copy")])
    assert (found.volume, found.test) == (2, "copy")


def test_planes_of_stacks_are_looked_at() -> None:
    volumes = [volume(np.stack([cells(0), cells(1), cells(2)])), volume(cells(3))]
    found = find_copies(volumes, [volume(np.stack([cells(7), cells(2), cells(8)]), "stack")])
    assert [(copy.volume, copy.test) for copy in found] == [(0, "stack")]


@pytest.mark.parametrize("empty", [np.zeros((64, 64)), np.full((20, 30), 7.0)])
def test_empty_planes_are_copies_of_nothing(empty: np.ndarray) -> None:
    volumes = [volume(empty), volume(cells(0))]
    assert not find_copies(volumes, [volume(empty), volume(np.random.default_rng(0).random((64, 64)))])
    assert not find_copies([volume(empty)], [volume(empty)])


@pytest.mark.parametrize("turn", TURNS)
def test_turned_descriptors_are_those_of_the_turned_plane(turn: tuple[bool, int]) -> None:
    plane = cells(0)[:200, :240]
    here, there = keypoints(plane), keypoints(np.ascontiguousarray(turned(plane, turn)))
    places = turned_places(here.places, turn)
    away = np.linalg.norm(places[:, None] - there.places, axis=-1)
    away += 10 * np.abs(np.log(here.widths[:, None] / there.widths))
    same = away.min(axis=1) < 1.5
    assert same.mean() > 0.8
    cosines = (here.descriptors[:, turned_entries(turn)] * there.descriptors[away.argmin(axis=1)]).sum(axis=1)
    assert np.median(cosines[same]) > 0.97


def test_keypoints_are_told_from_the_middle_of_the_plane() -> None:
    for side in (300, 600):  # the larger one is binned first
        spot = np.zeros((side, side), np.float32)
        spot[200, 100] = 1
        found = keypoints(gaussian_filter(spot, 12))
        away = np.linalg.norm(found.places + side / 2 - (200.5, 100.5), axis=1)
        there = away < 0.5
        assert there.any()
        assert np.abs(np.log2(found.widths[there] / 12)).min() < 0.5


def opened(folder: Path, *exclude: Path) -> Catalogue:
    return open_clean([folder], Normalisation(), exclude=exclude)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clean").mkdir()
    for seed in range(3):
        np.save(tmp_path / "clean" / f"{seed}.npy", cells(seed).astype(np.uint16))
    (tmp_path / "tests").mkdir()
    np.save(tmp_path / "tests" / "pair.npy", noisy(cells(1)[20:, 20:]).astype(np.float32))
    return tmp_path


def test_what_shows_a_test_image_is_left_out_with_its_name(folder: Path) -> None:
    found = opened(folder / "clean", folder / "tests")
    assert [Path(v.name).name for v in found.volumes] == ["0.npy", "2.npy"]
    clean, pair = folder / "clean" / "1.npy", folder / "tests" / "pair.npy"
    assert found.excluded == (f"{clean} (shows what {pair} shows)",)
    assert not opened(folder / "clean").excluded


def test_every_channel_of_a_test_image_counts(folder: Path) -> None:
    import tifffile

    stack = np.stack([cells(7), cells(0)]).astype(np.uint16)
    tifffile.imwrite(folder / "two.ome.tif", stack, metadata={"axes": "CYX"}, ome=True)
    (excluded,) = opened(folder / "clean", folder / "two.ome.tif").excluded
    assert "0.npy (shows what " in excluded
    assert "two.ome.tif" in excluded


def test_test_images_that_cannot_be_used_stop_it(folder: Path) -> None:
    with pytest.raises(VolumeError, match="gone: no such file or folder of images"):
        opened(folder / "clean", folder / "gone")
    (folder / "tests" / "broken.png").write_bytes(b"no image")
    with pytest.raises(VolumeError, match=r"broken\.png"):
        opened(folder / "clean", folder / "tests")
    (folder / "empty").mkdir()
    with pytest.raises(VolumeError, match="empty: no images in it"):
        opened(folder / "clean", folder / "empty")


def test_nothing_left_is_an_error(folder: Path) -> None:
    with pytest.raises(VolumeError, match=r"every image shows what a test image of --exclude shows"):
        opened(folder / "clean", folder / "clean")
