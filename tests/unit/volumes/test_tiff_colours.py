"""TIFF files in colours: one stain in one hue, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from baikal_deploy.volumes.open import open_input
from tests.unit.volumes.test_tiff import assert_holds, axes_of, counts, refused, scales_of


def in_hue(grey: np.ndarray, *hue: float) -> np.ndarray:
    return np.rint(grey[..., None] * np.array(hue)).astype(grey.dtype)


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "axes"),
    [
        ((20, 30), "u1", {}, "yx"),
        ((20, 30), "u2", {"compression": "zlib"}, "yx"),
        ((3, 20, 30), "u1", {"imagej": True, "metadata": {"axes": "ZYXS"}}, "zyx"),
        ((4, 20, 30), "u2", {"metadata": {"axes": "TYXS"}, "ome": True}, "tyx"),
        ((40, 64), "u1", {"tile": (16, 16), "compression": "zlib"}, "yx"),
    ],
)
@pytest.mark.parametrize("hue", [(0, 1, 0), (0.2, 0.37, 1)])
def test_one_stain(
    tmp_path: Path,
    shape: tuple[int, ...],
    dtype: str,
    options: dict[str, Any],
    axes: str,
    hue: tuple[float, ...],
) -> None:
    pixels = counts(*shape, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", in_hue(pixels, *hue), photometric="rgb", **options)
    volume = open_input(tmp_path / "a.tif")
    assert axes_of(volume) == axes
    assert_holds(volume, pixels)
    assert volume.info.hyperstack is None
    assert (
        volume.read_window(0, slice(3, 9), slice(5, None))
        == pixels[..., 3:9, 5:].reshape(-1, 6, shape[-1] - 5)[0]
    ).all()


def test_the_pixel_size_is_kept(tmp_path: Path) -> None:
    colours = in_hue(counts(20, 30, dtype="u1"), 1, 0, 0)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", resolution=(5e4, 5e4), resolutionunit=3)
    assert scales_of(open_input(tmp_path / "a.tif"))["x"] == (pytest.approx(2e-5), "centimeter")


def test_a_second_hue_in_one_plane_is_told_with_its_place(tmp_path: Path) -> None:
    colours = in_hue(counts(3, 20, 30, dtype="u1"), 0, 1, 0)
    colours[2, 7, 11] = 90
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    refused(tmp_path / "a.tif", r"a\.tif: plane 2 is a colour picture of more than one hue \(at y=7 x=11")


def test_jpeg_in_a_tiff_is_told_of(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    pixels = (60 + 40 * np.sin(np.mgrid[:64, :64][1] / 9)).astype("u1")
    tifffile.imwrite(tmp_path / "a.tif", in_hue(pixels, 0, 1, 0), photometric="rgb", compression="jpeg")
    volume = open_input(tmp_path / "a.tif")
    assert np.abs(volume.read([0])[0].astype(int) - pixels).max() < 8
    assert "JPEG has changed" in volume.info.remarks[0]


@pytest.mark.parametrize("samples", [4, 2])
def test_other_numbers_of_colours_are_refused(tmp_path: Path, samples: int) -> None:
    pixels = counts(20, 30, samples, dtype="u1")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb" if samples > 2 else "minisblack", planarconfig="contig"
    )
    refused(tmp_path / "a.tif", "is a colour image")
