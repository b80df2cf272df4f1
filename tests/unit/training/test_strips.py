"""Few images: all are learnt from, but for a strip of each."""

from __future__ import annotations

import numpy as np
import pytest

from baikal_deploy.measurement.intensity import IntensityMap
from baikal_training.data import CleanVolume, in_memory
from baikal_training.data.volumes import InMemory
from baikal_training.strips import split_off_strips, told


def volume(height: int, width: int = 40) -> CleanVolume:
    pixels = np.arange(2 * height * width, dtype=np.uint32).reshape(2, height, width)
    return CleanVolume("a.tif", InMemory("a.tif", pixels), IntensityMap(0, 255), "0" * 64)


@pytest.mark.parametrize(("height", "rows"), [(1000, 128), (512, 128), (400, 100), (64, 16)])
def test_no_pixel_is_in_both_and_none_is_lost(height: int, rows: int) -> None:
    whole = volume(height)
    split = split_off_strips([whole], 128)
    (learnt,), (kept,) = split.training, split.validation
    assert kept.planes.shape == (2, rows, 40)
    assert split.test == ()
    both = np.concatenate([learnt.planes.read_all(), kept.planes.read_all()], axis=1)
    np.testing.assert_array_equal(both, whole.planes.read_all())


def test_windows_are_those_of_the_rows() -> None:
    whole = volume(512)
    (kept,) = split_off_strips([whole], 128).validation
    expected = whole.planes.read(1, slice(384 + 7, 384 + 20), slice(3, 9))
    np.testing.assert_array_equal(kept.planes.read(1, slice(7, 20), slice(3, 9)), expected)
    (held,) = in_memory([kept], 1 << 30)
    np.testing.assert_array_equal(held.planes.read(1, slice(7, 20), slice(3, 9)), expected)
    np.testing.assert_array_equal(kept.planes.read(1, slice(None), slice(3, 9)).shape, (128, 6))


def test_images_of_few_rows_are_learnt_from_whole() -> None:
    split = split_off_strips([volume(60), volume(512)], 128)
    assert [v.planes.shape[1] for v in split.training] == [60, 384]
    assert [v.planes.shape[1] for v in split.validation] == [128]
    assert told(split_off_strips([volume(60)], 128)) == (
        "1 image is too few, and too small, to set some pixels aside: there is no validation"
    )


@pytest.mark.parametrize(("count", "words"), [(1, "1 image is too few"), (3, "3 images are too few")])
def test_it_is_said(count: int, words: str) -> None:
    assert told(split_off_strips([volume(512)] * count, 128)).startswith(
        f"{words} to set some aside: all are"
    )
