"""Power that is as strong everywhere is noise; power of fibres is not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from baikal_deploy import Denoiser
from baikal_deploy.denoising.stack import Stack
from baikal_deploy.diffusion.samplers.auto import Auto
from baikal_deploy.measurement.bands import broadness, patchiness
from baikal_deploy.measurement.correlation import BROAD, CERTAINLY_BROAD, PATCHY, find_correlation

SHAPE = (256, 256)
EVERYWHERE = [np.ones(SHAPE, dtype=bool)]


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def parts(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blobs, and as much white noise."""
    blobs = gaussian_filter(white(seed), 1.2, mode="wrap")
    return blobs / blobs.std(), white(seed + 100)


def broad(seed: int) -> np.ndarray:
    """Blobs beside white noise."""
    return np.add(*parts(seed))


def fibres(seed: int) -> np.ndarray:
    """The same, with the blobs in places alone."""
    blobs, grain = parts(seed)
    places = gaussian_filter(white(seed + 200), 12, mode="wrap") > 0
    return np.where(places, 1.4 * blobs, 0) + grain


def test_white_noise_is_not_broad() -> None:
    assert broadness([white(0)], EVERYWHERE) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_as_strong_everywhere(seed: int) -> None:
    assert patchiness([white(seed)], EVERYWHERE) < PATCHY
    assert patchiness([broad(seed)], EVERYWHERE) < PATCHY < patchiness([fibres(seed)], EVERYWHERE)


def test_too_few_squares_tell_nothing() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:64, :112] = True
    assert patchiness([white(0)], [mask]) == math.inf
    assert patchiness([white(0), white(1)], [mask] * 2) < PATCHY


def test_broad_noise_is_told_from_fibres() -> None:
    """By a denoiser that takes both for noise."""
    for make, is_noise in ((broad, True), (fibres, False)):
        planes = [make(0)]
        assert BROAD < broadness(planes, EVERYWHERE) < CERTAINLY_BROAD
        found = find_correlation(planes, EVERYWHERE, lambda factor, planes=planes: planes)
        assert (found.kernel is not None) == is_noise


@pytest.mark.parametrize("place", [(0, 0), (256, 64)])
def test_actin_without_a_dark_part_has_white_noise(place: tuple[int, int], shared_data: Path) -> None:
    plane = np.asarray(Image.open(shared_data / "fmd_paired" / "Confocal_BPAE_G_raw2.png"))
    y, x = place
    sample = Stack(plane[None, y : y + 160, x : x + 160], [0]).sample()
    with Denoiser.load("general") as denoiser:
        noise = denoiser.measure(sample, Auto()).noise
    assert noise is not None
    assert not noise.is_correlated
