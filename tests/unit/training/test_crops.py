"""Random augmented crops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from baikal_deploy.errors import VolumeError
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_training.data import AUGMENTATIONS, Augmentation, CleanVolume, CropDataset, validation_crops
from baikal_training.data.volumes import InMemory

PLAIN = Augmentation(zoom=(1, 1), gamma=(1, 1), contrast=(1, 1), bright=0, offset=0)


def volume(pixels: np.ndarray, low: float = -1, high: float = 1) -> CleanVolume:
    """A volume from (H, W) or (N, H, W); real pixels are on the network's scale already."""
    stack = pixels.reshape(-1, *pixels.shape[-2:])
    stack = stack.astype(np.float32) if stack.dtype.kind == "f" else stack
    return CleanVolume("volume.tif", InMemory("volume.tif", stack), IntensityMap(low, high), "")


def noise(*shape: int, seed: int = 0) -> CleanVolume:
    return volume(np.random.default_rng(seed).uniform(-1, 1, shape))


def crops(
    volumes: list[CleanVolume], augmentation: Augmentation, size: int = 32, length: int = 200, seed: int = 0
) -> np.ndarray:
    dataset = CropDataset(volumes, size, seed, augmentation)
    return torch.stack([dataset[i] for i in range(length)])[:, 0].numpy()


def test_crops_are_float32_squares() -> None:
    dataset = CropDataset([noise(50, 70)], 24, 0, Augmentation())
    assert dataset[3].shape == (1, 24, 24)
    assert dataset[3].dtype == torch.float32


def test_crop_depends_on_seed_and_index_alone() -> None:
    volumes = [noise(50, 70), noise(3, 90, 40, seed=1)]
    dataset = CropDataset(volumes, 16, 5, Augmentation())
    forwards = [dataset[i] for i in range(20)]
    backwards = [dataset[i] for i in reversed(range(20))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({item.sum().item() for item in forwards}) == 20
    assert not torch.equal(dataset[0], CropDataset(volumes, 16, 6, Augmentation())[0])


def test_plain_crop_is_a_turned_or_mirrored_part_of_the_plane() -> None:
    source = noise(20, 21)
    windows = np.lib.stride_tricks.sliding_window_view(source.planes.read_all()[0], (16, 16)).reshape(
        -1, 16, 16
    )
    seen = set()
    for crop in crops([source], PLAIN, size=16, length=150):
        turns = [np.rot90(side, k) for side in (crop, crop[:, ::-1]) for k in range(4)]
        errors = [np.abs(windows - turn).max(axis=(1, 2)) for turn in turns]
        assert min(error.min() for error in errors) < 1e-5
        seen.add((int(np.argmin([error.min() for error in errors])), int(np.argmin(np.min(errors, axis=0)))))
    assert {turn for turn, _ in seen} == set(range(8))
    assert {place for _, place in seen} == set(range(len(windows)))


@pytest.mark.parametrize("zoom", [(0.5, 0.5), (1.0, 1.0), (2.0, 2.0), (0.5, 2.0)])
def test_zoom_sets_the_side_of_what_is_seen(zoom: tuple[float, float]) -> None:
    """On a ramp, a crop spans as many levels as it saw columns."""
    ramp = volume(np.broadcast_to(np.arange(400.0), (400, 400)))
    found = crops([ramp], replace(PLAIN, zoom=zoom), size=64)
    sides = np.ptp(found, axis=(1, 2)) + 1
    assert sides.min() > 64 / zoom[1] * 0.93
    assert sides.max() < 64 / zoom[0] * 1.03
    if zoom[0] < zoom[1]:
        assert np.mean(sides > 63) == pytest.approx(0.5, abs=0.12)  # log-uniform: half of them each way


def test_planes_smaller_than_a_crop_are_magnified() -> None:
    assert np.isfinite(crops([noise(17, 40)], Augmentation(), length=20)).all()


def test_dither_fills_the_gaps_between_grey_levels() -> None:
    gap = 1.0  # every fourth level is taken, so that a wider dither would show
    levels = 4 * np.random.default_rng(0).integers(0, 9, (64, 64)).astype("u2")
    source = volume(levels, 0, 8)
    assert source.step == 0.25
    found = crops([source], PLAIN, size=64, length=4)
    away = found - np.rint(found / gap) * gap
    assert np.abs(away).max() <= source.step / 2 + 1e-5
    assert away.std() == pytest.approx(source.step / np.sqrt(12), rel=0.02)
    assert abs(away.mean()) < 0.003
    undithered = crops([volume(levels.astype("f4"), 0, 8)], PLAIN, size=64, length=4)
    np.testing.assert_allclose(undithered, np.rint(undithered / gap) * gap, atol=1e-5)


def two_levels(low: float, high: float) -> CleanVolume:
    """A checkerboard of intensities on [0, 1], whose crops show what happened to both."""
    return volume(2 * np.where(np.indices((64, 64)).sum(0) % 2, high, low) - 1)


def levels_of(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    unit = (found + 1) / 2
    return unit.min(axis=(1, 2)), unit.max(axis=(1, 2))


def test_offset_shifts_both_levels_alike() -> None:
    low, high = levels_of(crops([two_levels(0.2, 0.8)], replace(PLAIN, offset=0.05)))
    np.testing.assert_allclose(high - low, 0.6, atol=1e-5)
    assert 0.15 - 1e-5 < low.min() < 0.16
    assert 0.24 < low.max() < 0.25 + 1e-5


def test_contrast_scales_and_bright_crops_reach_three_times() -> None:
    low, high = levels_of(crops([two_levels(0.2, 0.8)], replace(PLAIN, contrast=(0.5, 1.3))))
    np.testing.assert_allclose(high / low, 4, rtol=1e-4)
    assert 0.5 * 0.8 - 1e-5 < high.min() < 0.45
    assert 1.25 * 0.8 < high.max() < 1.3 * 0.8 + 1e-5
    _, bright = levels_of(
        crops([two_levels(0.2, 0.8)], replace(PLAIN, contrast=(0.5, 1), bright=0.3), length=400)
    )
    assert np.mean(bright > 0.8 + 1e-5) == pytest.approx(0.3, abs=0.07)
    assert 2.9 * 0.8 < bright.max() < 3 * 0.8 + 1e-5


def test_gamma_bends_intensities_and_keeps_negative_ones() -> None:
    low, high = levels_of(crops([two_levels(-0.1, 0.5)], replace(PLAIN, gamma=(0.7, 1.5))))
    np.testing.assert_allclose(low, -0.1, atol=1e-5)
    exponents = np.log(high) / np.log(0.5)
    assert 0.7 - 1e-4 < exponents.min() < 0.73
    assert 1.45 < exponents.max() < 1.5 + 1e-4


def test_background_is_mostly_drawn_again_but_not_for_ever() -> None:
    pixels = np.full((256, 256), -1.0)
    pixels[:128] = np.random.default_rng(0).uniform(-1, 1, (128, 256))
    shares = np.mean(crops([volume(pixels)], PLAIN).std(axis=(1, 2)) > 0.1)
    assert 0.8 < shares < 1
    assert np.ptp(crops([volume(np.full((64, 64), -1.0))], PLAIN, length=3)) == 0


def test_planes_are_drawn_in_proportion_to_their_side() -> None:
    dim, bright = noise(48, 48), volume(10 + noise(144, 144).planes.read_all())
    found = crops([dim, bright], PLAIN, length=600).mean(axis=(1, 2))
    assert np.mean(found > 5) == pytest.approx(0.75, abs=0.06)


def test_every_plane_of_a_volume_has_the_weight_of_a_plane() -> None:
    """Volumes of 1 and 4 planes: all five are drawn alike."""
    single = noise(32, 32)
    levels = 10 * np.arange(1, 5)[:, None, None] + noise(4, 32, 32).planes.read_all()
    found = np.rint(crops([single, volume(levels)], PLAIN, length=1000).mean(axis=(1, 2)) / 10)
    numbers, drawn = np.unique(found, return_counts=True)
    assert numbers.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(drawn / 1000, 0.2, atol=0.04)


def test_pixels_that_are_not_finite_end_the_training() -> None:
    pixels = noise(2, 32, 32).planes.read_all().copy()
    pixels[1, 7, 7] = np.inf
    with pytest.raises(VolumeError, match=r"volume\.tif, plane 1: holds NaN or infinite"):
        crops([volume(pixels)], PLAIN)


def test_validation_crops_are_always_the_same_parts_of_the_volume() -> None:
    source = noise(2, 40, 50)
    found = validation_crops([source], 32, 12)
    assert found.shape == (12, 1, 32, 32)
    assert found.dtype == torch.float32
    assert torch.equal(found, validation_crops([source], 32, 12))
    assert torch.equal(found[:5], validation_crops([source], 32, 5))
    windows = np.lib.stride_tricks.sliding_window_view(source.planes.read_all(), (32, 32), axis=(1, 2))
    for crop in found[:, 0].numpy():
        assert (np.abs(windows - crop).max(axis=(-1, -2)) < 1e-6).sum() == 1
    assert len({crop.sum().item() for crop in found}) == 12


def test_validation_crops_are_not_dithered_and_rarely_background() -> None:
    pixels = np.zeros((256, 256), np.uint8)
    pixels[:128] = np.random.default_rng(0).integers(0, 3, (128, 256))
    found = validation_crops([volume(pixels, 0, 2)], 32, 60)
    assert set(found.unique().tolist()) == {-1, 0, 1}
    assert 0.75 < (found.std(dim=(1, 2, 3)) > 0.1).float().mean() < 1


def test_validation_crops_of_small_planes_are_magnified() -> None:
    assert validation_crops([noise(20, 24)], 64, 2).shape == (2, 1, 64, 64)


def test_narrow_augmentation_only_turns_mirrors_and_shifts() -> None:
    """Narrow crops differ from plain ones in the background's level; wide ones in contrast as well."""
    plane = noise(48, 48)
    spread = {name: crops([plane], kind).std(axis=(1, 2)) for name, kind in AUGMENTATIONS.items()}
    plain = crops([plane], PLAIN).std(axis=(1, 2))
    assert np.ptp(spread["narrow"]) < 1.5 * np.ptp(plain)
    assert np.ptp(spread["wide"]) > 5 * np.ptp(plain)


def points(levels: tuple[float, ...] = (1.0,), side: int = 64) -> CleanVolume:
    """Single bright pixels, 16 apart, on the dark."""
    plane = np.zeros((side, side))
    plane[8::16, 8::16] = np.resize(levels, (side // 16, side // 16))
    return volume(2 * plane - 1)


def widths(found: np.ndarray) -> np.ndarray:
    """Standard deviation of the disc of a point's image, in pixels, by its brightest pixel.

    A Gaussian of width s has its peak at 1 / (2 pi s^2); the rings hold 16.2 % of the light.
    """
    return np.sqrt((1 - 0.162) / (2 * np.pi * ((found + 1) / 2).max(axis=(1, 2))))


def test_blur_widens_points_by_its_width_and_keeps_the_light() -> None:
    blurred = replace(PLAIN, blurred=1, blur=(1.5, 1.5))
    found = crops([points()], blurred, size=64, length=5)
    np.testing.assert_allclose(widths(found), 1.5, rtol=0.06)
    np.testing.assert_allclose(((found + 1) / 2).sum(axis=(1, 2)), 16, rtol=0.01)
    sharp = crops([points()], replace(blurred, blurred=0.4), size=64).max(axis=(1, 2)) > 0.9
    assert np.mean(sharp) == pytest.approx(0.6, abs=0.12)


def test_blur_grows_with_the_magnification_up_to_what_microscopes_have() -> None:
    """Of an edge, the steepest step tells the width of the disc."""
    edge = volume(np.where(np.arange(256) < 128, -1.0, 1.0) * np.ones((256, 1)))

    def steepest(zoom: float, blur: float) -> float:
        kind = replace(PLAIN, zoom=(zoom, zoom), blurred=1, blur=(blur, blur))
        return float(max(np.abs(np.diff(c, axis=a)).max() for c in crops([edge], kind, 64) for a in (0, 1)))

    assert steepest(0.5, 4) == pytest.approx(steepest(1, 2), rel=0.05)
    assert steepest(1, 4) == pytest.approx(steepest(1, 2), rel=1e-5)  # 2 pixels at most
    assert steepest(1, 1) > 1.5 * steepest(1, 2)


@pytest.mark.parametrize("dark", [0.05, 0.5])
def test_equalised_crops_are_those_that_the_runtime_shows(dark: float) -> None:
    rng = np.random.default_rng(1)
    slope = np.linspace(-1.2, 3, 96)[:, None] + rng.normal(0, 0.02, (96, 96))
    crop = slope.astype(np.float32)
    found = replace(PLAIN, equalised=1, dark=(dark, dark)).equalise(crop, np.random.default_rng(2))
    photons = NoiseModel(gain=0.005, intercept=0.005 * (1 + 2 * dark), floor=0.01 * dark, level=1.0)
    runtime = Equaliser.equalised(crop[None], photons, IntensityMap(-1, 1))[0][0]
    np.testing.assert_allclose(found[8:-8], runtime[8:-8], atol=0.02)
    assert np.abs(found - crop)[8:-8].max() > 0.3
    assert PLAIN.equalise(crop, rng) is crop


def test_haze_adds_slow_light_within_the_range() -> None:
    square = np.full((128, 128), -1.0)
    square[48:80, 48:80] = 1  # looks the same when it is turned
    plain = crops([volume(square)], PLAIN, size=128, length=20)
    found = (crops([volume(square)], replace(PLAIN, hazy=1, haze=(0.4, 0.4)), size=128, length=20) + 1) / 2
    dark, lit = (np.where(part, found, np.nan) for part in (plain < 0, plain > 0))
    assert np.nanmin(found) > -1e-3
    brightest = np.nanmax(dark, axis=(1, 2))  # of haze alone, where the square does not hide it
    assert 0.95 * 0.4 / 1.4 < brightest.max() < 1.1 * 0.4 / 1.4
    assert np.nanmax(np.abs(np.diff(dark, axis=-1))) < 0.05
    assert np.nanmin(lit) > 1 / 1.4 - 1e-3
    assert np.nanmax(lit) < 1.05


def test_sparse_crops_raise_the_bright_and_leave_the_dim() -> None:
    kind = replace(PLAIN, sparse=1, peak=(3, 6))
    low, high = levels_of(crops([two_levels(0.05, 1.0)], kind))
    assert 2.99 < high.min() < 3.1
    assert 5.7 < high.max() < 6.01
    np.testing.assert_allclose(low, 0.05, rtol=0.02)
    _, shared = levels_of(crops([two_levels(0.05, 1.0)], replace(kind, sparse=0.2, bright=0.2), length=400))
    assert np.mean(shared > 2.999) == pytest.approx(0.2, abs=0.06)
    assert np.mean((shared > 1.001) & (shared < 2.999)) == pytest.approx(0.2, abs=0.06)


def test_a_volume_may_have_an_augmentation_of_its_own() -> None:
    bright = replace(noise(64, 64), augmentation=replace(PLAIN, contrast=(50, 50)))
    found = crops([noise(64, 64), bright], PLAIN).std(axis=(1, 2))
    assert np.mean(found > 10) == pytest.approx(0.5, abs=0.12)


def test_planes_are_drawn_by_the_weight_of_their_volume() -> None:
    levels = [
        replace(volume(10 * i + noise(32, 32).planes.read_all()), weight=w) for i, w in ((0, 1), (1, 3))
    ]
    found = crops(levels, PLAIN, length=600).mean(axis=(1, 2))
    assert np.mean(found > 5) == pytest.approx(0.75, abs=0.06)
