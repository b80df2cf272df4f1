"""Axes that somebody names for an image that does not, and pages that ImageJ's notes do not count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.run.config import RunConfig
from baikal_deploy.volumes.open import open_input
from tests.unit.volumes.test_tiff import assert_holds, axes_of, counts, refused, scales_of, write

NOTES = "ImageJ=1.54f\nimages=4\nslices=4\nunit=micron\nspacing=-0.5\nfinterval=3\n"


def asked(path: Path, axes: str, match: str) -> None:
    with pytest.raises(VolumeError, match=match) as caught:
        open_input(path, axes=axes)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_a_stack_of_three_that_was_saved_as_colours(tmp_path: Path, options: dict[str, Any]) -> None:
    pixels = counts(3, 20, 30, dtype="u1")
    path = write(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate", **options)
    refused(path, r"is a colour image \(axes SYX\).*\(--axes zyx\)")
    for axes in ("zyx", "tyx", "cyx"):
        volume = open_input(path, axes=axes)
        assert axes_of(volume) == axes
        assert_holds(volume, pixels)
    asked(path, "tzyx", "has 3 dimensions, and --axes tzyx names 4")


def test_colours_of_each_pixel_are_no_planes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", counts(20, 30, 3, dtype="u1"), photometric="rgb")
    asked(path, "zyx", "is a colour image")


def test_pages_without_names(tmp_path: Path) -> None:
    pixels = counts(4, 20, 30)
    path = write(tmp_path / "a.tif", pixels, metadata=None)
    assert axes_of(open_input(path)) == "zyx"
    volume = open_input(path, axes="tyx")
    assert axes_of(volume) == "tyx"
    assert_holds(volume, pixels)


def test_a_zarr_array_without_names(tmp_path: Path) -> None:
    pixels = counts(2, 3, 20, 30)
    array = zarr.create_array(tmp_path / "a.zarr", data=pixels)
    volume = open_input(tmp_path / "a.zarr", axes="tzyx")
    assert axes_of(volume) == "tzyx"
    assert_holds(volume, pixels)
    asked(tmp_path / "a.zarr", "zyx", "has 4 dimensions")
    assert array.shape == pixels.shape


def test_names_of_the_metadata_hold(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.tif", counts(4, 20, 30), ome=True, metadata={"axes": "TYX"})
    assert axes_of(open_input(path, axes="tyx")) == "tyx"
    asked(path, "zyx", "its metadata names the axes tyx, not zyx")
    zarr.create_array(tmp_path / "a.zarr", data=counts(4, 20, 30), dimension_names=["t", "y", "x"])
    asked(tmp_path / "a.zarr", "zyx", "its metadata names the axes tyx, not zyx")


@pytest.mark.parametrize("axes", ["", "x", "xy", "zxy", "ztyx", "zzyx", "qyx", "yxz"])
def test_axes_that_are_none(axes: str) -> None:
    with pytest.raises(ConfigError, match=f"--axes {axes}: must be"):
        RunConfig(Path("a.tif"), axes=axes)


def write_put_together(path: Path, pages: np.ndarray) -> Path:
    """Pages of which ImageJ's notes in the first count four, as tiffcp leaves them."""
    with tifffile.TiffWriter(path) as file:
        for number, page in enumerate(pages):
            notes = {} if number else {"description": NOTES}
            file.write(
                page, metadata=None, contiguous=False, resolution=(10, 10), photometric="minisblack", **notes
            )
    return path


@pytest.mark.parametrize("dtype", ["u2", ">u2"])
def test_pages_that_imagej_does_not_count(tmp_path: Path, dtype: str) -> None:
    pixels = counts(12, 20, 30, dtype=dtype)
    path = write_put_together(tmp_path / "a.tif", pixels)
    refused(path, "ImageJ's notes in it count 4 of its 12 pages")
    volume = open_input(path, axes="zyx")
    assert_holds(volume, pixels)
    assert scales_of(volume) == dict.fromkeys("yx", (0.1, "micrometer")) | {"z": (0.5, "micrometer")}
    assert scales_of(open_input(path, axes="tyx"))["t"] == (3, "second")
    asked(path, "tzyx", "has 3 dimensions")


def test_a_negative_spacing_keeps_its_size(tmp_path: Path) -> None:
    """ImageJ writes one where a stack was taken downwards."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, counts(4, 20, 30), imagej=True, metadata={"axes": "ZYX", "unit": "um", "spacing": -0.5}
    )
    assert scales_of(open_input(path))["z"] == (0.5, "micrometer")
