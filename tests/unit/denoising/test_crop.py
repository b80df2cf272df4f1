"""A crop knows the whole plane, what is read of it, what is wanted, and where the noise begins."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.regions import crop_around
from baikal_deploy.denoising.windows import TilePlan
from baikal_deploy.diffusion.random_field import NoiseField

WHOLE = np.arange(50 * 70).reshape(1, 50, 70)
CROP = Crop((50, 70), (slice(8, 40), slice(16, 64)), (slice(20, 30), slice(16, 50)), (5, 9))


def turned(planes: np.ndarray, symmetry: int) -> np.ndarray:
    """As ``samplers.matched`` turns them: flipped along x, y, and then transposed."""
    for bit, axis in ((1, -1), (2, -2)):
        planes = np.flip(planes, axis) if symmetry & bit else planes
    return planes.swapaxes(-1, -2) if symmetry & 4 else planes


@pytest.mark.parametrize("symmetry", range(8))
def test_a_turned_crop_is_the_crop_of_turned_planes(symmetry: int) -> None:
    read, crop = WHOLE[..., *CROP.read], CROP.turned(symmetry)
    found = turned(WHOLE, symmetry)
    assert found.shape[1:] == crop.whole
    np.testing.assert_array_equal(found[..., *crop.read], turned(read, symmetry))
    np.testing.assert_array_equal(found[..., *crop.wanted], turned(CROP.trimmed(read), symmetry))


def test_what_is_wanted_is_a_view_of_what_was_read() -> None:
    read = WHOLE[..., *CROP.read]
    np.testing.assert_array_equal(CROP.trimmed(read), WHOLE[..., 20:30, 16:50])
    assert np.shares_memory(CROP.trimmed(read), WHOLE)
    assert (CROP.shape, CROP.wanted_shape) == ((32, 48), (10, 34))
    rows, columns = CROP.coordinates()
    np.testing.assert_array_equal(70 * rows + columns, read[0])


def test_noise_is_that_of_the_pixels_that_are_read() -> None:
    field = NoiseField(0, 0, (100, 100))(0, 0)
    own = NoiseField(0, 0, CROP.shape, CROP.origin_in_noise)(0, 0)
    np.testing.assert_array_equal(own, field[5:, 9:][CROP.read])


def test_planes_that_are_not_cut() -> None:
    crop = Crop.uncut((50, 70))
    assert crop.is_uncut
    assert not CROP.is_uncut
    np.testing.assert_array_equal(crop.trimmed(WHOLE), WHOLE)


def test_a_region_is_read_with_what_it_depends_on() -> None:
    region = slice(100, 120), slice(900, 1000)
    crop = crop_around(region, TilePlan.fit((400, 1000), 64, 16, 8), 10, (3, 4))
    assert (crop.whole, crop.wanted, crop.noise_origin) == ((400, 1000), region, (3, 4))
    for want, read, side in zip(crop.wanted, crop.read, crop.whole, strict=True):
        assert 0 <= read.start < want.start
        assert want.stop == read.stop == side or want.stop < read.stop <= side
