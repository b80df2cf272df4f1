"""Planes as cameras deliver them: pixels that say nothing, and noise that pixels share (for cameras.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from baikal_training.camera import Camera
from baikal_training.simulate import simulate

Array = np.ndarray

PHOTONS, GAIN, OFFSET, READ = 60.0, 2.0, 100.0, 4.0
"""Camera of the defects, in photons and counts."""
FAR = 16
"""Pixels around a defect that are not compared."""


@dataclass(frozen=True)
class Defect:
    """A channel with something wrong in it, and the same channel without.

    Attributes:
        name: what is wrong.
        broken: planes (N, H, W).
        place: part of the broken planes that shows what ``truth`` does.
        plain, truth: noisy and clean planes (N, h, w) without the defect.
        compared: pixels of these, away from the defect, whose PSNR is told.
    """

    name: str
    broken: Array
    place: tuple[slice, ...]
    plain: Array
    truth: Array
    compared: Array


def scene(model: str, side: int, seed: int) -> Array:
    """A clean plane of the kind that a model knows."""
    planes, plane = (8, 4) if model == "nuclei" else (1, 0)
    return simulate(model, (1, planes, side, side), seed)[0, plane].astype(np.float64)


def exposed(clean: Array, seed: int) -> tuple[Array, Array]:
    """A noisy uint16 image, and its mean, of the camera of the defects."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(PHOTONS * clean) * GAIN + rng.normal(OFFSET, READ, clean.shape)
    return uint16(counts), clean * PHOTONS * GAIN + OFFSET


def uint16(counts: Array) -> Array:
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def defects(model: str, side: int, seed: int) -> Iterator[Defect]:
    """The defects of one plane.

    Args:
        model: whose kind of image it is.
        side: of the plane, in pixels.
        seed: of everything random.
    """
    noisy, truth = exposed(clean := scene(model, side, seed), seed + 1)
    everywhere = (slice(None), slice(None))

    def plane(name: str, broken: Array, bad: Array, place: tuple[slice, ...] = everywhere) -> Defect:
        away = ~near(bad[place])
        return Defect(name, broken[None], (slice(None), *place), noisy[None], truth[None], away[None])

    def put(name: str, bad: Array, value: Any) -> Defect:
        return plane(name, np.where(bad, noisy.dtype.type(value), noisy), bad)

    def framed(name: str, value: float, dtype: Any, margin: int) -> Defect:
        broken = np.full((side + 2 * margin,) * 2, value, dtype)
        place = (slice(margin, margin + side),) * 2
        broken[place] = noisy
        bad = np.ones(broken.shape, bool)
        bad[place] = False
        return plane(f"{name}, {bad.mean():.0%}", broken, bad, place)

    y, x = np.mgrid[:side, :side]
    yield put("zeros: a frame of 2 pixels", np.minimum(np.minimum(y, x), side - 1 - np.maximum(y, x)) < 2, 0)
    yield put("zeros: 8 rows", y < 8, 0)
    yield put("zeros: parallelogram (deskewing)", (x < (side - y) / 4) | (x > side - y / 4), 0)
    yield put("zeros: label box, 0.8 %", (y < side * 0.06) & (x < side * 0.133), 0)
    yield framed("int16, -32768 around it", -32768, np.int16, max(1, side // 64))
    yield framed("NaN around it", np.nan, np.float32, side // 4)
    yield framed("NaN around it", np.nan, np.float32, side // 2)
    for count in (2, 4):
        mosaic = np.zeros((count * side,) * 2, np.uint16)
        place = (slice(side, 2 * side), slice(0, side))
        mosaic[place] = noisy
        bad = np.zeros(mosaic.shape, bool)
        yield plane(f"mosaic with 1 of {count**2} tiles filled", mosaic, bad, place)
    rng = np.random.default_rng(seed + 2)
    yield put("3 dead columns", np.isin(x, [side // 5, side // 2, 7 * side // 9]), 0)
    yield put("dead pixels, 1 %", rng.random((side, side)) < 0.01, 0)
    for share, value in ((0.0003, 4000), (0.001, 4000), (0.003, 65535)):
        yield put(f"hot pixels, {share:.2%} at {value}", rng.random((side, side)) < share, value)
    yield put("2 saturated columns", np.isin(x, [side // 3, side // 3 + 1]), 65535)
    for times in (10, 40):
        distance = np.hypot(y - side / 2, x - side / 2) - np.sqrt(0.008 / np.pi) * side
        bright, mean = exposed(clean + times / (1 + np.exp(np.clip(distance, -50, 50))), seed + 1)
        away = (distance > 24)[None]
        yield Defect(
            f"one object {times} times as bright, 0.8 %",
            bright[None], (slice(None),) * 3, noisy[None], np.where(away, mean, truth), away,
        )  # fmt: skip
    yield from thin_and_doubled(noisy, truth)


def near(bad: Array) -> Array:
    """Pixels that are bad, or next to bad ones; FAR from large areas, 4 pixels from single ones."""
    from scipy.ndimage import binary_dilation, binary_opening

    large = binary_opening(bad, np.ones((2, 2)))
    return binary_dilation(large, iterations=FAR) | binary_dilation(bad, np.ones((3, 3)), iterations=4)


def thin_and_doubled(noisy: Array, truth: Array) -> Iterator[Defect]:
    """Frames of one row, and pixels that are there twice."""
    all_of_it, whole = np.ones((1, *noisy.shape), bool), (slice(None),) * 3
    for name, axes in (("doubled rows", (0,)), ("doubled columns", (1,)), ("doubled pixels", (0, 1))):
        broken, place = noisy, [slice(None)] * 3
        for axis in axes:
            broken, place[axis + 1] = broken.repeat(2, axis), slice(None, None, 2)
        yield Defect(name, broken[None], tuple(place), noisy[None], truth[None], all_of_it)
    rows = np.ones((*noisy.shape[:1], 1, noisy.shape[1]), bool)
    yield Defect("frames of one row (line scan)", noisy[:, None], whole, noisy[None], truth[:, None], rows)


def black_frame(model: str, side: int, seed: int) -> Defect:
    """A film of 60 frames, one of which is zeros."""
    scenes = np.stack([scene(model, side, seed + number) for number in range(6)]).repeat(10, axis=0)
    noisy, truth = exposed(scenes, seed + 1)
    broken, good = noisy.copy(), np.ones(noisy.shape, bool)
    broken[30], good[30] = 0, False
    return Defect("1 black frame of 60: the others", broken, (slice(None),) * 3, noisy, truth, good)


@dataclass(frozen=True)
class Shared:
    """A plane whose pixels share noise: uint16, and its mean; (H, W) each."""

    name: str
    noisy: Array
    truth: Array

    @property
    def correlation(self) -> float:
        """That of the noise of direct neighbours, along the axis where it is larger."""
        noise = self.noisy - self.truth
        noise -= noise.mean()
        products = (noise[:, 1:] * noise[:, :-1]).mean(), (noise[1:] * noise[:-1]).mean()
        return float(max(products) / np.square(noise).mean())


def shared_noise(model: str, side: int, psnr: float, seed: int) -> Iterator[Shared]:
    """Five kinds of noise that neighbours share, from weak to strong.

    Args:
        model: whose kind of image it is.
        side: of the planes, in pixels.
        psnr: of the camera whose noise is shared, in dB.
        seed: of everything random.
    """
    kinds: dict[str, tuple[Callable[[Array, float, float, int], tuple[Array, Array]], tuple[float, ...]]] = {
        "along rows": (along_rows, (0.15, 0.4, 0.7)),
        "blobs": (blobs, (0.15, 0.4, 0.7)),
        "interpolated": (interpolated, (0.15, 0.4, 0.5)),
        "line by line": (line_by_line, (0.15, 0.3, 0.5)),
        "resampled by 2": (resampled, (0.0, 1.0)),
    }
    for number, (kind, (make, strengths)) in enumerate(kinds.items()):
        for strength in strengths:
            clean = scene(model, side, seed + number).astype(np.float32)
            noisy, truth = make(clean, strength, psnr, seed + 10 * number)
            yield Shared(kind, uint16(noisy), truth)


def white(clean: Array, psnr: float, seed: int) -> tuple[Array, Array, Array]:
    """Counts, their mean, and their standard deviation."""
    camera = Camera.at_psnr(clean, psnr)
    mean = camera.expected(clean).astype(np.float64)
    std = np.sqrt(camera.gain * (mean - camera.offset) + camera.read_noise**2)
    return camera.expose(clean, seed).astype(np.float64), mean, std


def along_rows(clean: Array, strength: float, psnr: float, seed: int) -> tuple[Array, Array]:
    """The noise of a slow scanner: correlation r, r², r³ … along rows."""
    distance = np.minimum(np.arange(clean.shape[1]), clean.shape[1] - np.arange(clean.shape[1]))
    return coloured(clean, np.zeros(clean.shape) + strength**distance, psnr, seed, rows_only=True)


def blobs(clean: Array, strength: float, psnr: float, seed: int) -> tuple[Array, Array]:
    """The noise of an image that was smoothed: correlation r at one pixel, r⁴ at two, r⁹ at three."""
    y, x = (np.minimum(np.arange(side), side - np.arange(side)) for side in clean.shape)
    return coloured(clean, strength ** np.add.outer(y.astype(float) ** 2, x.astype(float) ** 2), psnr, seed)


def coloured(
    clean: Array, correlation: Array, psnr: float, seed: int, rows_only: bool = False
) -> tuple[Array, Array]:
    """Gaussian noise with the variance of a camera's, and a correlation (H, W) that wraps around."""
    _, mean, std = white(clean, psnr, seed)
    axes = (1,) if rows_only else (0, 1)
    power = np.maximum(np.fft.fftn(correlation, axes=axes).real, 0)
    draws = np.random.default_rng(seed).standard_normal(clean.shape)
    noise = np.fft.ifftn(np.fft.fftn(draws, axes=axes) * np.sqrt(power), axes=axes).real
    return mean + std * noise / noise.std(), mean


def interpolated(clean: Array, strength: float, psnr: float, seed: int) -> tuple[Array, Array]:
    """The noise of a registered image, shifted by less than a pixel with linear interpolation."""
    counts, mean, _ = white(clean, psnr, seed)
    product = strength / (1 + 2 * strength)  # step·(1 − step), for this correlation of neighbours
    step = (1 - np.sqrt(max(1 - 4 * product, 0))) / 2
    noisy, truth = (shift(image, (step, step), order=1, mode="nearest") for image in (counts, mean))
    return noisy, truth


def line_by_line(clean: Array, strength: float, psnr: float, seed: int) -> tuple[Array, Array]:
    """White noise, and an offset that the pixels of a row share."""
    counts, mean, _ = white(clean, psnr, seed)
    std = (counts - mean).std() * np.sqrt(strength / (1 - strength))
    return counts + np.random.default_rng(seed).normal(0, std, (len(counts), 1)), mean


def resampled(clean: Array, smooth: float, psnr: float, seed: int) -> tuple[Array, Array]:
    """A plane of half the size, with each pixel four times, or enlarged linearly."""
    from scipy.ndimage import zoom

    half = clean.reshape(clean.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    counts, mean, _ = white(half, psnr, seed)
    if smooth:
        noisy, truth = (zoom(image, 2, order=1, mode="nearest", grid_mode=True) for image in (counts, mean))
    else:
        noisy, truth = (image.repeat(2, axis=0).repeat(2, axis=1) for image in (counts, mean))
    return noisy, truth


def best_blur(noisy: Array, truth: Array) -> Array:
    """The Gaussian blur that is nearest to the truth."""
    blurred = (gaussian_filter(noisy.astype(np.float64), sigma) for sigma in np.arange(0.5, 6.1, 0.25))
    return min(blurred, key=lambda image: float(np.square(image - truth).mean()))
