"""The guard's cells, and the strips in which planes are worked on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.guard import Suspect, _windowed, contradictions
from baikal_deploy.measurement.equaliser import Equaliser
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.measurement.spectrum import Spectrum
from baikal_deploy.measurement.surroundings import Surroundings
from baikal_deploy.pixels import cells
from baikal_deploy.pixels.cells import cell_products, cell_sums, strips


def planes(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def test_suspect_pixels_are_counted_as_the_map_shows_them() -> None:
    suspect = Suspect(planes(2, 6, 8) > 0.5, (22, 30))
    for read, wanted in (
        ((slice(0, 22), slice(0, 30)), (slice(0, 22), slice(0, 30))),
        ((slice(32, 54), slice(64, 94)), (slice(35, 41), slice(65, 94))),
    ):
        crop = Crop((100, 100), read, wanted)
        assert suspect.count(crop) == np.count_nonzero(crop.trimmed(suspect.pixels()))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 16])
def test_windowed_means_are_those_of_scipy(side: int) -> None:
    grid = planes(2, 17, 21)
    np.testing.assert_allclose(_windowed(grid, side), uniform_filter(grid, (0, side, side)), atol=1e-6)


def test_windowed_means_do_not_depend_on_what_is_far() -> None:
    grid = planes(1, 60, 60)
    np.testing.assert_array_equal(
        _windowed(grid, 16)[:, 20:40, 20:40], _windowed(grid[:, 10:50, 8:50], 16)[:, 10:30, 12:32]
    )


def test_products_are_summed_as_they_would_be_one_by_one() -> None:
    one, other = planes(2, 8, 36), planes(2, 8, 36)[::-1].copy()
    np.testing.assert_allclose(cell_products(one, other), cell_sums(one * other), atol=1e-5)


@pytest.mark.parametrize("size", [16, 500, 2**16])
def test_strips_make_no_difference(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any size, whether sides are multiples of a cell or not."""
    noisy = 50 + 20 * planes(2, 45, 38)
    noise, intensity = NoiseModel(20.0, 100.0, 10.0, 30.0), IntensityMap(0, 99)
    even, whole = Equaliser.equalised(noisy, noise, intensity)
    spectrum = Spectrum.white(0.4)
    suspect = contradictions(even[:, None], 0.1 * even[:, None], spectrum).cells
    monkeypatch.setattr(cells, "STRIP_PIXELS", size)
    assert [row for rows in strips(noisy.shape) for row in range(45)[rows]] == [*range(45)]
    found, equaliser = Equaliser.equalised(noisy, noise, intensity)
    np.testing.assert_array_equal(found, even)
    rows = slice(6, 21)
    np.testing.assert_array_equal(equaliser.back(found[:, rows], rows), whole.back(even)[:, rows])
    again = contradictions(even[:, None], 0.1 * even[:, None], spectrum).cells
    assert suspect.any()
    np.testing.assert_array_equal(again, suspect)


def test_surroundings_of_a_part_are_those_of_the_whole() -> None:
    plane = planes(200, 160)
    whole = Surroundings.of(plane).rows(slice(0, 200))
    part = Surroundings.of(plane[40:160, 32:]).rows(slice(0, 120))
    np.testing.assert_array_equal(whole[70:130, 70:], part[30:90, 38:])
